#!/usr/bin/env bash
# Tests the device transport on a real /dev/tpmrm0, in QEMU with a TPM (swtpm) and Debian's cloud kernel. The only program
# there is the bundled test/qemu/main.ts. Slow, and not part of test.sh. Needs Debian on amd64; installs missing packages
# with apt-get (as root). The last line is "N passed, N failed".
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
# shellcheck source=scripts/platform.sh
. scripts/platform.sh

readonly limit=300

# Unpacks the kernel of Debian's cloud images, which has built-in TPM drivers, without installing it.
unpack_kernel() {
  local image
  image=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
  [[ -n $image ]] || {
    say 'no kernel package found; run apt-get update'
    exit 1
  }
  (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$image")
  dpkg -x "$work"/linux-image-*.deb "$work/kernel"
}

# Makes a root file system in memory: busybox and node with their shared libraries (a static busybox has none), and the test.
build_initramfs() {
  local root=$work/root program library
  mkdir -p "$root"/{bin,dev,proc,sys,tmp}
  for program in busybox node; do
    cp -- "$(command -v "$program")" "$root/bin/$program"
    while read -r library; do
      mkdir -p "$root$(dirname -- "$library")"
      cp -L -- "$library" "$root$library"
    done < <(ldd "$root/bin/$program" 2>/dev/null | grep -o '/[^ ]*')
  done
  # In several files, so that unused parts (koffi) are not loaded.
  npx --no-install esbuild test/qemu/main.ts --bundle --splitting --platform=node --format=esm --target=node20 \
    --external:koffi --log-level=error --outdir="$root" --out-extension:.js=.mjs
  cat >"$root/init" <<'EOF'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/node /main.mjs
/bin/busybox poweroff -f
EOF
  chmod +x "$root/init"
  (cd "$root" && find . | cpio --quiet -o -H newc) >"$work/initramfs"
}

run_machine() {
  mkdir "$work/state"
  swtpm socket --tpm2 --tpmstate dir="$work/state" --ctrl type=unixio,path="$work/ctrl" -t &
  swtpm_process=$!
  until [[ -S $work/ctrl ]]; do
    kill -0 "$swtpm_process" || return 1
    sleep 0.05
  done
  # Emulated, without KVM, so that it works in containers and virtual machines.
  timeout "$limit" qemu-system-x86_64 -machine q35,accel=tcg -cpu max -m 1024 -nographic -no-reboot -nic none \
    -kernel "$work"/kernel/boot/vmlinuz-* -initrd "$work/initramfs" -append 'console=ttyS0 quiet panic=-1 rdinit=/init' \
    -chardev socket,id=tpm,path="$work/ctrl" -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-crb,tpmdev=tpm0 \
    </dev/null | sed -u 's/\x1b[[(]*[?0-9;]*[A-Za-z]//g; s/\r//g' | tee "$work/output"
}

need qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio swtpm:swtpm
scripts/setup.sh --build
unpack_kernel
build_initramfs
say "$(qemu-system-x86_64 --version | head -n 1), $(swtpm --version | head -n 1)"
begun=$SECONDS
run_machine || say "the machine ended with an error, or took longer than $limit s"
say "the machine ran for $((SECONDS - begun)) s"

result=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$work/output" | tail -n 1) || result='0 passed, 1 failed'
printf '%s\n' "$result"
[[ $result == *' passed, 0 failed' ]]
