#!/bin/sh
# reference_page.sh RATCHETD VERSION: the page ratchetd.json(5), from what the program says of its own keys.
set -eu
cat <<PAGE
.TH RATCHETD.JSON 5 "" "ratchetd $2" "ratchetd"
.SH NAME
ratchetd.json \- configuration of ratchetd
.SH SYNOPSIS
/etc/ratchetd/ratchetd.json
.SH DESCRIPTION
.nf
PAGE
"$1" reference | sed -e 's/\\/\\e/g' -e "s/^\([.']\)/\\\\\&\1/" -e 's/-/\\-/g'
cat <<'PAGE'
.fi
.SH FILES
.I /usr/share/doc/ratchetd/examples
.SH SEE ALSO
.BR ratchetd (8),
.BR ratchetctl (1)
PAGE
