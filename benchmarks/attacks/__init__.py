"""Attacks on encodings, written from the published ideas alone: one module an attack, plain arrays in and out.

An attacker holds the whole register in clear and guesses which person of it each record of the index is. Everything
but secret keys is known to the attacker, so that expected similarities can be computed; some attacks hold the key of
the facilities as well.
"""
