"""The PaddlePaddle backend."""

import logging
import os
import signal
import threading
import warnings

from trishift.backends import matrix_library

matrix_library.tune()  # the library reads the environment once, at its first matrix product
os.environ.setdefault("GLOG_minloglevel", "2")  # log errors only: Paddle warns about its own operators
warnings.filterwarnings("ignore", message="No ccache found")  # on import; nothing is compiled here

_handlers, _level = logging.root.handlers[:], logging.root.level

import paddle  # noqa: E402

logging.root.handlers[:] = _handlers  # Paddle adds its own, which would repeat every message of this process
logging.root.setLevel(_level)
_handler = signal.getsignal(signal.SIGTERM)
paddle.disable_signal_handler()  # on SIGTERM, Paddle's own prints a stack trace
if _handler is not None and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, _handler)
