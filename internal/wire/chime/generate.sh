#!/bin/sh
# Makes signaling.pb.go from signaling.proto. Needs protoc on the PATH; the
# plug-in is the one go.mod names.
set -eu
protoc --plugin=protoc-gen-go="$(go tool -n protoc-gen-go)" \
	--go_out=. --go_opt=paths=source_relative signaling.proto
