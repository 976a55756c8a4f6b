# Sourced by hack/setup and hack/test: uv reads no pip settings, so it is handed the index and the certificates
# that pip would use (PIP_* or a pip.conf). What the caller says to uv itself wins.

hand_over() {
    local value
    value=$(.venv/bin/python -m pip config list 2>/dev/null |
        sed -n "s/^\(global\|install\|:env:\)\.$2='\(.*\)'$/\2/p" | tail -n 1)
    [[ -z $value ]] || export "$1=$value"
}
[[ -n ${UV_DEFAULT_INDEX-}${UV_INDEX_URL-} ]] || hand_over UV_DEFAULT_INDEX index-url
[[ -n ${UV_INDEX-}${UV_EXTRA_INDEX_URL-} ]] || hand_over UV_INDEX extra-index-url
[[ -n ${SSL_CERT_FILE-} ]] || hand_over SSL_CERT_FILE cert
