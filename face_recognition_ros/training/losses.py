"""Training objectives, one function each, with formula and source."""

import torch
from torch import Tensor
from torch.nn import functional


def cosine_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean of 1 - <s, t> over unit vectors (N, D): the student's embedding should be the teacher's."""
    return (1 - (student * teacher).sum(dim=1)).mean()


def similarity_distillation(student: Tensor, teacher: Tensor, bank: Tensor, temperature: float = 0.07) -> Tensor:
    """Cross-entropy between the teacher's and the student's softmax similarities to a bank of teacher embeddings.

    -sum_j softmax(t . b_j / T) log softmax(s . b_j / T), mean over the batch (SEED, Fang et al. 2021, equation 4). It
    spends the student's effort on telling a face from those that the teacher finds most alike.

    student, teacher: unit vectors (N, D); bank: unit vectors (M, D), among them the batch's own.
    """
    wanted = torch.softmax(teacher @ bank.T / temperature, dim=1)
    return functional.cross_entropy(student @ bank.T / temperature, wanted)
