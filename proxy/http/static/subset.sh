#!/usr/bin/env bash
# Writes vazirmatn.woff2 beside this file: Vazirmatn 33.0.3 of npm, weights 400 to 700, with the characters that Persian,
# Arabic names and English need. Needs npm, Python and both registries.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent vazirmatn@33.0.3 >/dev/null
tar xzf vazirmatn-33.0.3.tgz
python3 -m venv tools
tools/bin/pip install --quiet --disable-pip-version-check fonttools==4.68.0 brotli==1.2.1
tools/bin/fonttools varLib.instancer --quiet "package/fonts/webfonts/Vazirmatn[wght].woff2" wght=400:700 -o limited.ttf
characters=U+0020-007E,U+00A0,U+00AB,U+00B7,U+00BB,U+060C,U+061B,U+061F,U+0621-063A,U+0640-0642,U+0643-064B
characters+=,U+0651,U+0654,U+066A-066C,U+067E,U+0686,U+0698,U+06A9,U+06AF,U+06C0,U+06CC,U+06F0-06F9,U+200C-200F
characters+=,U+2013,U+2014,U+2018-201D,U+2022,U+2026,U+2190,U+2192,U+2212
tools/bin/pyftsubset limited.ttf --unicodes="$characters" --layout-features=ccmp,init,medi,fina,rlig,liga,kern,mark,tnum \
  --no-hinting --flavor=woff2 --output-file="$here/vazirmatn.woff2"
cp package/OFL.txt "$here/OFL.txt"
