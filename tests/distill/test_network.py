"""Settings of a GPU, which are the process' own."""

from __future__ import annotations

import torch

from understudy.distill.network import full_precision


def test_full_precision_holds_until_its_last_user_is_done_and_is_then_set_back() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    try:
        cudnn.allow_tf32 = True
        first, second = full_precision(), full_precision()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert not cudnn.allow_tf32
        second.__exit__(None, None, None)
        assert cudnn.allow_tf32
    finally:
        cudnn.allow_tf32 = before
