//go:build tools

// Package tools pins protovalidate's conformance runner (go.mod, go.sum): `go install` by version fails over a module
// whose deprecation record is missing.
package tools

import _ "github.com/bufbuild/protovalidate/tools/protovalidate-conformance"
