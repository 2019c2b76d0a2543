"""The scenes cascade: small models of coloured shapes, with a program that checks their pictures."""
