"""The one decoder, the parts it is put together from, and the families that are descriptions of it."""
