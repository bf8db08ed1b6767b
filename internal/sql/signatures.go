package sql

import (
	"cmp"
	"slices"
	"strings"
)

// A Signature documents one function.
type Signature struct {
	Name   string
	Params string // as "str, num[, num]"; "..." for any number
	Result string // as "num"
	Doc    string // one line
	Since  string // first version of the language, empty for a function of the host
}

// documented are the functions of the language: what a call looks like, what it
// gives, what it does. num is an Int, a Decimal or a numeric String; str is
// anything that converts to a String. A call with other arguments, or with more
// or fewer, is Undefined.
const documented = `
abs(num) num: the number without its sign
accountid() str: the account that the rule belongs to
acos(num) num: arc cosine in radians; Undefined outside of -1 to 1
asin(num) num: arc sine in radians; Undefined outside of -1 to 1
atan(num) num: arc tangent in radians
atan2(num, num) num: angle of the point with y first, then x, in radians
aws_lambda(str, any) any: answer of a function, by its ARN, to the input; * is the payload
bitand(num, num) int: bitwise AND; fractions are dropped
bitnot(num) int: bitwise NOT in two's complement
bitor(num, num) int: bitwise OR; fractions are dropped
bitxor(num, num) int: bitwise XOR; fractions are dropped
ceil(num) int: the next whole number upwards
chr(num) str: the character of an ASCII code, 0 to 127
clientid() str: MQTT client ID of the publisher, n/a if the message did not come over MQTT
concat(...) any: arrays joined if there is one among several arguments, else texts; a single argument as it is
cos(num) num: cosine of radians
cosh(num) num: hyperbolic cosine
decode(any, str[, str, str, str, str]) any: the value or text that base64 holds, Null if it holds none; with 'proto', bucket, key, file and message type, a protobuf message as JSON
encode(any, str) str: base64 of a text; * is the payload as it was received
endswith(str, str) bool: whether the first text ends with the second
exp(num) num: e to the power of the number
floor(num) int: the next whole number downwards
get(any, any) any: element of an array by its index from 0, character of a text likewise, member of an object by its name
get_dynamodb(str, str, any[, str, any], str) any: item of a table by the names and values of its keys; role last; one call in a statement
get_mqtt_property(str) str: content_type, response_topic, correlation_data (in base64) or format_indicator of the message
get_or_default(any[, any]) any: the first, unless it is Null, Undefined or failed: then the second
get_registry_data(str, str, str) any: answer of DescribeThing or ListThingGroupsForThing, a constant, about a thing; role last; one call in a statement
get_secret(str, str[, str], str) any: a secret by its ID and type, SecretString or SecretBinary, or one member of it; role last
get_thing_shadow(str[, str], str) any: shadow of a thing, the classic or a named one; role last
get_user_properties([str]) array: values of the user properties of that name, or all as objects of one member
indexof(str, str) int: where the second text begins in the first, from 0; -1 if it does not
isnull(any) bool: whether the value is Null
isundefined(any) bool: whether there is no value
length(str) int: number of characters
ln(num) num: natural logarithm
log(num) num: logarithm to base 10
lower(str) str: in lower case
lpad(str, num) str: with so many spaces before it, at most 1000
ltrim(str) str: without white space before it
machinelearning_predict(str, str, any) any: prediction of a model for a record; the role is the second argument; * is the payload
md2(str) str: MD2 in lower-case hexadecimal
md5(str) str: MD5 in lower-case hexadecimal
mod(num, num) num: remainder, with the sign of the first
nanvl(any, any) any: the first, or the second if that is Null or Undefined
newuuid() str: a random UUID, another for each call
numbytes(str) int: number of bytes in UTF-8
parse_time(str, num[, str]) str: milliseconds since 1970 by a pattern of Joda-Time, in a time zone or UTC
power(num, num) num: the first to the power of the second
principal() str: who the publisher acted as
rand() num: a random number from 0 to below 1, another for each call
regexp_matches(str, str) bool: whether the pattern is found in the first
regexp_replace(str, str, str) str: every place of the pattern replaced; $1 is a group
regexp_substr(str, str) str: the first place of the pattern
remainder(num, num) num: remainder, with the sign of the first
replace(str, str, str) str: the second replaced by the third everywhere in the first
round(num) int: the nearest whole number, halves away from zero
rpad(str, num) str: with so many spaces behind it, at most 1000
rtrim(str) str: without white space behind it
sha1(str) str: SHA-1 in lower-case hexadecimal
sha224(str) str: SHA-224 in lower-case hexadecimal
sha256(str) str: SHA-256 in lower-case hexadecimal
sha384(str) str: SHA-384 in lower-case hexadecimal
sha512(str) str: SHA-512 in lower-case hexadecimal
sign(num) int: -1, 0 or 1
sin(num) num: sine of radians
sinh(num) num: hyperbolic sine
sourceip() str: IP address of the publisher
sql_version() str: version of the language in force
sqrt(num) num: square root
startswith(str, str) bool: whether the first text begins with the second
substring(str, num[, num]) str: characters from an index, from 0, to before another or the end
tan(num) num: tangent of radians
tanh(num) num: hyperbolic tangent
time_to_epoch(str, str) int: milliseconds since 1970 of a text by a pattern of java.time
timestamp() int: milliseconds since 1970, the same throughout a statement
topic([num]) str: the topic of the message, or that level of it, from 1
traceid() str: UUID of the message
transform(str, object, array) array: with 'enrichArray', each object of the array with the members of the first one
trim(str) str: without white space around it
trunc(num, num) num: without the digits beyond so many places, 0 to 34; the second is no String
upper(str) str: in upper case
`

// Signatures are the functions that a statement with these options may call,
// those of the host without types and words, ordered by name.
func Signatures(opts *Options) []Signature {
	o := opts.withDefaults()
	answered := map[string]bool{}
	var all []Signature
	for _, f := range o.Functions {
		answered[f.Name] = true
		if !IsBuiltin(f.Name) && f.Name != protoName {
			all = append(all, Signature{Name: f.Name})
		}
	}
	for line := range strings.Lines(strings.TrimPrefix(documented, "\n")) {
		head, doc, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		call, result, _ := strings.Cut(head, ") ")
		name, params, _ := strings.Cut(call, "(")
		s := Signature{name, params, result, doc, Version2015}
		if since16(name) {
			s.Since = Version2016
		}
		if _, outside := externals[name]; outside && !answered[name] || s.Since > o.Version && o.Version == Version2015 {
			continue
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Signature) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// since16 reports whether the older version lacks the function.
func since16(name string) bool {
	switch name {
	case "encode", "decode", "get_or_default":
		return true
	}
	return builtins[name].since16 || externals[name].since16
}
