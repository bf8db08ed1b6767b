package rules

// AWSProfile are the quotas and defaults of AWS IoT Core as options: 1,000
// rules, 10 actions for each, 128 KiB for a rule and for a statement, and
// version 2015-10-08 of the language where a rule names none, as the service
// takes it. A program changes what it wants otherwise before it opens the
// engine:
//
//	opts := rules.AWSProfile()
//	opts.MaxRules = 0 // the one quota that AWS raises on request
//
// How deep expressions and queries nest AWS does not say; the defaults of
// CompileOptions are kept, written out. The rest of the service's limits hold
// with and without the profile: 10 variables of 128 KiB in a SET clause, topic
// filters of 8 levels and 256 bytes, one call of get_dynamodb and of
// get_registry_data and two of decode(.., 'proto', ..) for a statement, 2
// seconds for aws_lambda.
func AWSProfile() *Options {
	return &Options{
		MaxActions:   10,
		MaxRuleBytes: 128 << 10,
		MaxRules:     1000,
		Compile: &CompileOptions{
			Version:       Version2015,
			MaxTextBytes:  128 << 10,
			MaxDepth:      100,
			MaxQueryDepth: 16,
		},
	}
}
