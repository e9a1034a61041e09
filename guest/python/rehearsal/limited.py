"""A job whose globals are limited."""

import math


def main(event):
    print("rehearsal", event["number"])
    if event["fail"]:
        raise ValueError(event["text"])
    return [math.sqrt(number) for number in range(3)]
