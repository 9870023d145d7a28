#!/usr/bin/env bash
# Records the demo's access log anew: a real nginx under a real load, for SECONDS at about RATE requests a second.
#
#     tools/demo-log/record.sh [SECONDS [RATE]]     (default 360 s at 420 a second)
#
# Needs nginx and python3. Listens on 127.0.0.1:18080 only.
set -euo pipefail

seconds=${1:-360}
rate=${2:-420}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$here/../../src/demo/access.log.gz
place=$(mktemp -d)

# nginx ends by the id it wrote down; nothing else on the machine is touched.
finish() {
    if [ -f "$place/nginx.pid" ]; then
        kill "$(cat "$place/nginx.pid")" || true
    fi
    rm -rf "$place"
}
trap finish EXIT

mkdir -p "$place/tmp"
chmod 755 "$place"
python3 -B "$here/site_map.py" "$place/site"
cp "$here/nginx.conf" "$place/nginx.conf"
TZ=UTC nginx -p "$place/" -c nginx.conf

python3 -B "$here/visitors.py" --seconds "$seconds" --rate "$rate"

kill -QUIT "$(cat "$place/nginx.pid")"
while [ -f "$place/nginx.pid" ]; do sleep 0.1; done

echo "$(wc -l <"$place/access.log") lines, $(wc -c <"$place/access.log") bytes"
gzip -9 --no-name <"$place/access.log" >"$target"
echo "$(wc -c <"$target") bytes compressed: $target"
