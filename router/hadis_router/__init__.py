"""The router: HTTP clients on one side, workers on the other, the domain's decisions between."""
