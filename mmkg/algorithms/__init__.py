"""Pure functions on text and arrays: no files, no models, no state. Only numpy and scipy are imported here."""
