"""Decoding on a CPU for small Llama- and Qwen2-type models, without the library's forward.

At the sizes of our embedded model a step of the library spends most of its time between the sums: in Python, in small
operations, in copying keys and values. Here one compiled call does all layers of a step (`kernel`), over keys and
values in pages that samples with the same beginning share (`pages`), by one matrix kernel (`tile`) for the linear
layers and for both halves of attention. A row's arithmetic is the same whatever stands beside it, so its text does not
depend on its batch, to the last bit. `weights` says which models qualify; the others keep the library's forward.
"""
