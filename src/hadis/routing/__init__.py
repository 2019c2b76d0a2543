"""What a router decides about a prompt: where it enters, who runs it, whether an image will do.

Every function takes plain numbers, the present time and its randomness as arguments, so that the
router under real time and a simulation under virtual time run the same decisions.
"""
