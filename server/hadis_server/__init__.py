"""The worker: HTTP on one side, diffusers pipelines and a discriminator on the other.

One process serves one GPU or a share of the CPU. `PUT /assignment` tells it what to serve first; it
serves every model that is resident in it. It decides nothing about routing: whether an image is
good enough is the router's judgement.
"""
