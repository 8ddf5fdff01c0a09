#!/bin/sh
# Makes the certificates of these tests anew: one of a hundred years, and one that has ended.
set -eu
cd "$(dirname "$0")"
openssl ecparam -name prime256v1 -genkey -noout -out renewed.key
openssl req -new -key renewed.key -subj "/CN=localhost" -out csr \
  -addext "basicConstraints=critical,CA:FALSE" -addext "extendedKeyUsage=serverAuth" \
  -addext "subjectAltName=DNS:localhost,IP:127.0.0.1"
for name in renewed:36500 ended:0; do
  openssl x509 -req -in csr -signkey renewed.key -days "${name#*:}" -copy_extensions copy \
    -out "${name%:*}.pem"
done
rm csr
