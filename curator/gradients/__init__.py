"""Per-sample gradients of a language model, projected to a few hundred numbers (G-Vendi, specs core 5.2).

The feature of a sample is the gradient of its mean completion loss over all parameters of a proxy model, projected at
random (`projection`) and scaled to length 1. `batched` computes it for many samples at once, with hooks; `single` is
the reference, one sample at a time, for any causal model. All of it is in float32, in eval mode.
"""
