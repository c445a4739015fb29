#!/bin/sh
# A compiler launcher for precompiled headers: removes what -o names, then runs the rest. With the old one in place,
# ccache's preprocessor reads that instead of the headers, and takes their change for none.
previous=
for argument in "$@"; do
  if [ "$previous" = -o ]; then rm -f "$argument"; fi
  previous=$argument
done
exec "$@"
