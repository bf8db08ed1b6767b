package table

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// The numbers that DynamoDB has as keys.
const (
	maxDigits    = 38
	minMagnitude = -130 // of the first digit, as a power of ten
	maxMagnitude = 125
)

// numberKey writes a JSON number so that equal numbers are equal texts: 5.0
// and 0.5e1 are 5. It is ErrInvalid where the text is no JSON number, or one of
// more than 38 digits or beyond 1E-130 to 9.9E+125.
func numberKey(text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" || strings.IndexByte("-0123456789", text[0]) < 0 || !json.Valid([]byte(text)) {
		return "", fmt.Errorf("%w key: %.100q is no number", ErrInvalid, text)
	}
	digits, negative := strings.CutPrefix(text, "-")
	exp := 0
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		var err error
		if exp, err = strconv.Atoi(digits[i+1:]); err != nil || exp > 1e6 || exp < -1e6 {
			return "", fmt.Errorf("%w key: %.100q is out of range", ErrInvalid, text)
		}
		digits = digits[:i]
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	digits, exp = whole+fraction, exp-len(fraction)
	digits = strings.TrimLeft(digits, "0")
	trimmed := strings.TrimRight(digits, "0")
	exp += len(digits) - len(trimmed)
	digits = trimmed
	if digits == "" {
		return "0", nil
	}
	if n := len(digits); n > maxDigits || n-1+exp > maxMagnitude || n-1+exp < minMagnitude {
		return "", fmt.Errorf("%w key: %.100q has more digits than 38, or is out of range", ErrInvalid, text)
	}
	switch point := len(digits) + exp; {
	case exp >= 0:
		digits += strings.Repeat("0", exp)
	case point > 0:
		digits = digits[:point] + "." + digits[point:]
	default:
		digits = "0." + strings.Repeat("0", -point) + digits
	}
	if negative {
		digits = "-" + digits
	}
	return digits, nil
}
