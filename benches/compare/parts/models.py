"""What the parts share that run GPT-2 and LLaMA: files of weights and tokens, and `-D` definitions."""
from ..machine import ROOT

SOURCES = {"gpt": ROOT / "models/gpt2.ein", "llama": ROOT / "models/llama.ein"}


def config(case):
    from lm_models import CONFIGS
    return CONFIGS[case["arch"]][case["size"]]


def define(c, dtype="f32", **more):
    """The definitions of a configuration, as strings."""
    dims = dict(B=c.B, T=c.T, V=c.V, D=c.D, H=c.H, F=c.F, L=c.L, W=dtype)
    dims |= dict(P=c.T) if c.arch == "gpt" else dict(G=c.KV, theta=c.theta)
    return {name: str(value) for name, value in (dims | more).items()}


def weights(folder, c, size, gain=1.0):
    """The weights' file; written once."""
    from lm_models import init
    from safetensors.numpy import save_file
    path = folder / f"{c.arch}-{size}-{gain:g}.safetensors"
    if not path.exists():
        save_file(init(c, gain=gain), path)
    return path


def tokens(folder, c, size):
    """The file of a batch: tokens and targets."""
    import numpy as np
    from lm_models import batch
    from safetensors.numpy import save_file
    path = folder / f"{c.arch}-{size}-tokens.safetensors"
    if not path.exists():
        x, y = (np.ascontiguousarray(t.astype(np.int32)) for t in batch(c))
        save_file(dict(tokens=x, targets=y), path)
    return path


def torch_weights(c, dtype, gain=1.0):
    import torch
    from lm_models import init
    return {k: torch.from_numpy(v).to(getattr(torch, dtype)) for k, v in init(c, gain=gain).items()}


def jax_weights(c, dtype, gain=1.0):
    import jax.numpy as jnp
    from lm_models import init
    return {k: jnp.asarray(v, dtype) for k, v in init(c, gain=gain).items()}
