"""Makes the embedding network: data, networks, objectives, training and export. Needs torch; the node does not."""
