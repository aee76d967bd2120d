"""The ROS 2 node: everything that knows ROS, and nothing that knows faces."""
