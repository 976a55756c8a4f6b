module fairlead.dev/hack/kserve

go 1.24.1

require github.com/kserve/kserve v0.16.0
