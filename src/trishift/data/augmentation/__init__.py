"""Training augmentation beyond TSN's crops and flips: every frame of a clip is changed in the same way.

All draws come from the generator of the clip, so a resumed run and a run in another framework see equal pixels. Pillow
changes the pixels. It is a dependency anyway, and its pictures can have any height: an operation on colors takes the
frames of a clip as one tall picture, so even operations that depend on the picture (contrast, equalize) use one mapping
for all frames.
"""
