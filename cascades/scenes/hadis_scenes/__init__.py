"""The scenes cascade: small models of coloured shapes, and a program that checks their pictures."""
