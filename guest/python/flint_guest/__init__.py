"""The Python guest of Flint. See guest/PROTOCOL.md. Imports are few and lazy: every one is paid at each cold start."""
