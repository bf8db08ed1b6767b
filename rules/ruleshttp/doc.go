// Package ruleshttp serves rules on the paths and with the bodies of the AWS IoT
// control plane, so that its command line and SDKs create rules here:
//
//	mux.Handle("/rules", h)
//	mux.Handle("/rules/", h)
//
//	aws --endpoint-url https://localhost:8443 iot create-topic-rule --rule-name hot \
//	    --topic-rule-payload '{"sql": "SELECT * FROM \"sensors/+\"", "actions": []}'
//
// The operations:
//
//	CreateTopicRule   POST   /rules/{ruleName}
//	GetTopicRule      GET    /rules/{ruleName}
//	ReplaceTopicRule  PATCH  /rules/{ruleName}
//	DeleteTopicRule   DELETE /rules/{ruleName}
//	EnableTopicRule   POST   /rules/{ruleName}/enable
//	DisableTopicRule  POST   /rules/{ruleName}/disable
//	ListTopicRules    GET    /rules?topic=&ruleDisabled=&maxResults=&nextToken=
//
// A payload is decoded strictly: an unknown member is an
// InvalidRequestException rather than a setting that is silently without
// effect. Tags come in the header x-amz-tagging; they are part of the rule.
//
// Who may do what is decided by Options.Authorize, and who is asking by
// whatever the program wraps around the handler. Without Authorize everybody
// whom the request reaches may do everything.
//
// # Errors
//
// An error is a status, the header x-amzn-ErrorType with the name of the
// exception, and the body {"message": "..."}. As at AWS, an operation on a
// rule that does not exist is an UnauthorizedException, by which the SDKs'
// tools recognise it. A statement that does not compile is a
// SqlParseException whose message has line, column and the line with a caret.
// The message of an InternalException says nothing of the cause, which is
// logged. A refused rule, as one with an action that is not offered, changes
// nothing, and its message says so. What is no operation is answered as the
// service does, 501 NotImplementedException.
package ruleshttp
