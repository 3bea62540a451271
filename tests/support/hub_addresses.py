"""`python hub_addresses.py ADDRESS ...`: print the path or the error of each address, as lines of JSON."""

from __future__ import annotations

import json
import sys
import time

from trishift.errors import TrishiftError
from trishift.zoo.sources import WeightSource

time.sleep = lambda seconds: None  # the hub's package pauses for 23 seconds between its six attempts

for address in sys.argv[1:]:
    try:
        print(json.dumps(["path", str(WeightSource(address).fetch())]))
    except TrishiftError as error:
        print(json.dumps(["error", str(error)]))
