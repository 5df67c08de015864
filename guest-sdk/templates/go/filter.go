// A line of `key=value` pairs becomes fields. Start from it: change Process, then fixtures.toml.
package main

import (
	"bytes"
	"errors"

	"filter/sawbox"
)

type filter struct {
	separator byte
	host      sawbox.Field
	node      sawbox.Name
}

func init() {
	sawbox.Register(func(setup *sawbox.Setup) (sawbox.Filter, error) {
		separator, given := setup.Get("separator")
		if !given {
			separator = "="
		}
		if len(separator) != 1 {
			return nil, errors.New("`separator` must be one character")
		}
		return &filter{separator: separator[0], host: setup.Read("host"), node: setup.Name("node")}, nil
	})
}

func (f *filter) Process(record *sawbox.Record, verdict *sawbox.Verdict) {
	any := false
	for rest, more := record.Payload(), true; more; {
		var word []byte
		word, rest, more = bytes.Cut(rest, []byte{' '})
		if at := bytes.IndexByte(word, f.separator); at > 0 {
			any = true
			pair(word[:at], word[at+1:], verdict)
		}
	}
	if !any {
		verdict.Fail("no key=value pair in the line")
	}

	// A field that the receiver set: `web-7` is node 7.
	host := record.Bytes(f.host)
	if dash := bytes.LastIndexByte(host, '-'); dash >= 0 {
		verdict.Set(f.node, host[dash+1:])
	}
}

func pair(key, value []byte, verdict *sawbox.Verdict) {
	name := verdict.Name(key)
	if number, ok := wholeNumber(value); ok {
		verdict.SetInt(name, number)
	} else {
		verdict.Set(name, value)
	}
	if string(key) != "level" {
		return
	}
	switch string(value) {
	case "debug":
		verdict.Drop("debug line")
	case "fatal":
		verdict.Emit("alerts", nil, true)
	}
}

// wholeNumber: `12` is a number, `12a` is not, and what has more than 18 digits stays text.
func wholeNumber(text []byte) (number int64, ok bool) {
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		number = number*10 + int64(digit-'0')
	}
	return number, len(text) > 0 && len(text) <= 18
}

func main() {}
