module fairlead.dev/hack/pod

go 1.24.0
