"""What models see: names of features, order and sense of samples, windows of health, and the two vectors.

`names` and `samples` are light; `window` and `vectors` are the only modules of ours that import numpy.
"""
