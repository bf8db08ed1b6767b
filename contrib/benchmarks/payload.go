package main

import (
	"fmt"
	"strings"
)

// payload is a climate reading of size bytes, or of 170 if that is less.
func payload(temperature string, size int) []byte {
	head := `{"deviceId":"sensor-0042","temperature":` + temperature + `,"humidity":48.25,"battery":{"level":87,"voltage":3.71},` +
		`"firmware":"2.4.1","uptime":1839204,"tags":["roof","north"]`
	return fill(head, size)
}

// fill adds members to an open object until it has size bytes.
func fill(head string, size int) []byte {
	var b strings.Builder
	b.WriteString(head)
	for i := 0; b.Len() < size-80; i++ {
		fmt.Fprintf(&b, `,"m%d":{"v":%d.5,"u":"hPa","ok":true}`, i, 900+i%100)
	}
	if rest := size - b.Len() - len(`,"note":""}`); rest >= 0 {
		fmt.Fprintf(&b, `,"note":"%s"`, strings.Repeat("x", rest))
	}
	b.WriteByte('}')
	return []byte(b.String())
}

// fields is a payload with n numbers f0, f1 and so on.
func fields(n, size int) []byte {
	head := `{"deviceId":"sensor-0042","temperature":31.5`
	for i := range n {
		head += fmt.Sprintf(`,"f%d":%d.25`, i, i)
	}
	return fill(head, size)
}
