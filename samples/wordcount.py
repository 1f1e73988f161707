#!/usr/bin/env python3
"""Counts the words of its input: nemo deploy samples/wordcount.py --exec; nemo invoke wordcount --data 'a b a'"""

import collections
import json
import sys

words = collections.Counter(sys.stdin.read().split())
json.dump(words.most_common(10), sys.stdout)
