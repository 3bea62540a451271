"""The PaddlePaddle backend."""

import os
import warnings

from trishift.backends import matrix_library

matrix_library.tune()  # the library reads the environment once, at its first matrix product
os.environ.setdefault("GLOG_minloglevel", "2")  # log errors only: Paddle warns about its own operators
warnings.filterwarnings("ignore", message="No ccache found")  # on import; nothing is compiled here
