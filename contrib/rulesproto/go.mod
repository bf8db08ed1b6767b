module github.com/thingloom/thingloom/contrib/rulesproto

go 1.26.0

require (
	github.com/thingloom/thingloom v0.0.0
	google.golang.org/protobuf v1.36.10
)

replace github.com/thingloom/thingloom => ../..
