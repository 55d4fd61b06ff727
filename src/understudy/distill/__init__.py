"""The science: teachers, students, pairs, losses and maps. Needs torch.

What a method is composed of can be taken from here; ``examples/your_own_method.py`` shows how.
"""

from understudy.distill.affinity import inter_affinity_distillation, intra_affinity_distillation
from understudy.distill.cram import CRAM
from understudy.distill.distiller import Distiller
from understudy.distill.forward import ForwardStudent
from understudy.distill.fusion import Fusion
from understudy.distill.losses import Term, channel_distillation, spatial_distillation
from understudy.distill.maps import MapRecipe
from understudy.distill.reverse import reverse_student
from understudy.distill.teacher import Teacher
from understudy.types import Features, Level, Pair

__all__ = [
    "CRAM",
    "Distiller",
    "Features",
    "ForwardStudent",
    "Fusion",
    "Level",
    "MapRecipe",
    "Pair",
    "Teacher",
    "Term",
    "channel_distillation",
    "inter_affinity_distillation",
    "intra_affinity_distillation",
    "reverse_student",
    "spatial_distillation",
]
