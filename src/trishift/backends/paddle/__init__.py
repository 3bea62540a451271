"""The PaddlePaddle backend."""

from trishift.backends.paddle.processor import tune_matrix_library

tune_matrix_library()  # the library reads the environment once, at its first product of matrices
