// Package sawbox is all that a sawbox filter in Go needs. Put this file into a folder `sawbox` beside your main package, and register
// the filter there:
//
//	func init() {
//		sawbox.Register(func(setup *sawbox.Setup) (sawbox.Filter, error) { … })
//	}
//
//	func main() {}
//
// Build: GOOS=wasip1 GOARCH=wasm go build -trimpath -ldflags='-s -w' -buildmode=c-shared -o filter.wasm .
//
// Cut, do not copy: a slice of the payload, or of a field that the filter reads, goes back to the box as a place. Any other slice or
// string is copied at once. Slices that a Record gives are good until Process returns. A panic sends the record to the topic's dead
// letters; so does Verdict.Fail, at far less cost. Remember nothing from one record to the next: use StateGet and StatePut. There is
// no clock but ArrivalNs, no files, no network, and no goroutines that outlive the call.
// The bytes that go to and fro are described in guest-sdk/src/abi.
package sawbox

import (
	"encoding/binary"
	"errors"
	"math"
	"runtime/debug"
	"unsafe"
)

// Filter decides on records.
type Filter interface {
	Process(record *Record, verdict *Verdict)
}

// Name is a field name that was declared, see [Setup.Name] and [Verdict.Name].
type Name uint32

// Field is a field that is read, see [Setup.Read].
type Field uint32

// Register says how the filter is made from its configuration. An error refuses the configuration.
func Register(create func(*Setup) (Filter, error)) { make_ = create }

// Setup is what a filter is made from, and where it declares what it reads and sets.
type Setup struct {
	// Config is the configuration, JSON text.
	Config    []byte
	reads     []byte
	count     uint16
	noPayload bool
}

// Get gives the value at a dotted path of the configuration; anything but a string is JSON text.
func (s *Setup) Get(path string) (string, bool) {
	out, n := grow(func(out []byte) int32 {
		return hostConfig(stringAt(path), uint32(len(path)), at(out), uint32(len(out)))
	})
	return string(out), n >= 0
}

// Name declares a field name that is set often.
func (s *Setup) Name(name string) Name { return names.number([]byte(name)) }

// Read declares a field that the filter looks at; only those are given to it.
func (s *Setup) Read(name string) Field {
	s.reads = binary.LittleEndian.AppendUint16(s.reads, uint16(len(name)))
	s.reads = append(s.reads, name...)
	s.count++
	return Field(s.count - 1)
}

// NeedsPayload says whether the filter looks at payloads; without a word it does.
func (s *Setup) NeedsPayload(needs bool) { s.noPayload = !needs }

// Pattern is an expression that the host compiled.
type Pattern struct {
	handle int32
	// Groups are the named groups by number. A name keeps its type: `bytes:int`.
	Groups []string
	spans  []Span
}

// Span is what a group captured.
type Span struct{ Group, Start, End uint32 }

// Kinds of patterns.
const (
	Grok    = 0
	Regex   = 1
	GrokECS = 2
)

// ErrGaveUp is a search with too much backtracking: not the same as no match.
var ErrGaveUp = errors.New("the pattern engine gave up")

// Pattern compiles an expression.
func (s *Setup) Pattern(kind int, expression string) (*Pattern, error) {
	handle := hostPatternCompile(stringAt(expression), uint32(len(expression)), int32(kind))
	if handle < 0 {
		return nil, lastError()
	}
	described, _ := grow(func(out []byte) int32 { return hostPatternDescribe(handle, at(out), uint32(len(out))) })
	p := &Pattern{handle: handle}
	for len(described) >= 4 {
		n := int(binary.LittleEndian.Uint16(described[2:]))
		p.Groups = append(p.Groups, string(described[4:4+n]))
		described = described[4+n:]
	}
	p.spans = make([]Span, len(p.Groups)+1)
	return p, nil
}

// Find searches; nil and no error where it does not match. The spans are good until the next search.
func (p *Pattern) Find(text []byte) ([]Span, error) {
	switch n := hostPatternMatch(p.handle, at(text), uint32(len(text)), unsafe.Pointer(&p.spans[0]), uint32(len(p.Groups))); n {
	case -1:
		return nil, nil
	case -2:
		return nil, ErrGaveUp
	default:
		return p.spans[:n], nil
	}
}

// Lookup is a table of the host's; see [Setup.Lookup].
type Lookup int32

// ErrNoAnswer is a lookup that had no answer in time.
var ErrNoAnswer = errors.New("no answer in time")

// Lookup opens a table of the host's: kind `table`, `geoip` or `dns`.
func (s *Setup) Lookup(kind, argument string) (Lookup, error) {
	both := kind + "\x00" + argument
	handle := hostLookupOpen(stringAt(both), uint32(len(both)))
	if handle < 0 {
		return 0, lastError()
	}
	return Lookup(handle), nil
}

// Record is one record, and the fields that it has so far.
type Record struct {
	index   uint32
	entry   []byte
	values  []byte
	frame   []byte
	payload []byte
}

// Payload is the bytes that arrived.
func (r *Record) Payload() []byte { return r.payload }

// ArrivalNs is when it arrived, nanoseconds since 1970: the only clock there is.
func (r *Record) ArrivalNs() int64 { return int64(u64(r.entry[8:])) }

// Offset is its place in the partition.
func (r *Record) Offset() uint64 { return u64(r.entry) }

// Bytes is the (first) value of a declared field, where it is a string; nil otherwise.
func (r *Record) Bytes(field Field) []byte {
	for i := 0; i < len(r.values); i += 16 {
		if u32(r.values[i:])&0xffffff == uint32(field) {
			return r.str(i)
		}
	}
	return nil
}

// Get is the (first) value of a declared field: []byte, int64, float64, bool, or nil.
func (r *Record) Get(field Field) any {
	for i := 0; i < len(r.values); i += 16 {
		head, body := u32(r.values[i:]), u64(r.values[i+8:])
		if head&0xffffff != uint32(field) {
			continue
		}
		switch head >> 24 & 15 {
		case 1:
			return r.str(i)
		case 2:
			return int64(body)
		case 3:
			return math.Float64frombits(body)
		case 4:
			return body != 0
		}
	}
	return nil
}

func (r *Record) str(i int) []byte {
	if u32(r.values[i:])>>24&15 != 1 {
		return nil
	}
	from := u32(r.values[i+12:])
	to := from + u32(r.values[i+4:])
	return r.frame[from:to:to]
}

// StateGet gives what an earlier record left under this key.
func (r *Record) StateGet(key []byte) ([]byte, bool) {
	out, n := grow(func(out []byte) int32 {
		return hostStateGet(r.index, at(key), uint32(len(key)), at(out), uint32(len(out)))
	})
	return out, n >= 0
}

// StatePut leaves a value under a key, for so many milliseconds.
func (r *Record) StatePut(key, value []byte, ttlMs int64) error {
	if hostStatePut(r.index, at(key), uint32(len(key)), at(value), uint32(len(value)), ttlMs) < 0 {
		return lastError()
	}
	return nil
}

// StateWait leaves a value under a key that, when its time is over, comes back as a record: see [Record.IsExpired].
func (r *Record) StateWait(key, value []byte, waitMs int64) error {
	if hostStateWait(r.index, at(key), uint32(len(key)), at(value), uint32(len(value)), waitMs) < 0 {
		return lastError()
	}
	return nil
}

// IsExpired says whether this is what waited, and not a record.
func (r *Record) IsExpired() bool { return r.index < u32(r.frame[20:]) }

// StateRemove forgets a key.
func (r *Record) StateRemove(key []byte) { hostStateRemove(r.index, at(key), uint32(len(key))) }

// Lookup looks a key up; nil and no error where nothing is known.
func (r *Record) Lookup(table Lookup, key []byte) ([]byte, error) {
	out, n := grow(func(out []byte) int32 {
		return hostLookupGet(int32(table), r.index, at(key), uint32(len(key)), at(out), uint32(len(out)))
	})
	if n == -2 {
		return nil, ErrNoAnswer
	}
	if n < 0 {
		return nil, nil
	}
	return out, nil
}

// Verdict is the verdict on one record. Left alone it means: store, with the fields as they were.
type Verdict struct {
	record                              *Record
	kind, values, emissions, reason, rl uint32
}

// Name is for a name that comes out of the data; good for this call.
func (v *Verdict) Name(name []byte) Name { return names.number(name) }

// Set sets a field to bytes; whatever it held is replaced.
func (v *Verdict) Set(name Name, value []byte) { v.str(name, 0, value) }

// SetString sets a field to a string, which is copied.
func (v *Verdict) SetString(name Name, value string) { v.str(name, 0, []byte(value)) }

// SetInt sets a field to a whole number.
func (v *Verdict) SetInt(name Name, value int64) { v.push(name, 2, 0, 0, uint64(value)) }

// SetFloat sets a field to a decimal number.
func (v *Verdict) SetFloat(name Name, value float64) { v.push(name, 3, 0, 0, math.Float64bits(value)) }

// SetBool sets a field to yes or no.
func (v *Verdict) SetBool(name Name, value bool) {
	var body uint64
	if value {
		body = 1
	}
	v.push(name, 4, 0, 0, body)
}

// Add adds a value to a field: a second one makes it a list.
func (v *Verdict) Add(name Name, value []byte) { v.str(name, 1, value) }

// Tag adds a tag, unless it is there.
func (v *Verdict) Tag(tag string) { v.str(names.number([]byte("tags")), 3, []byte(tag)) }

// Remove takes a field away.
func (v *Verdict) Remove(name Name) { v.push(name, 0, 2, 0, 0) }

// SetTime sets the row's time, nanoseconds since 1970.
func (v *Verdict) SetTime(ns int64) { v.SetInt(names.number([]byte("_time")), ns) }

// Drop leaves the record out.
func (v *Verdict) Drop(reason string) { v.end(1, reason) }

// Fail says that the record could not be handled: it goes to the topic's dead letters.
func (v *Verdict) Fail(reason string) { v.end(2, reason) }

// Hold makes no row of it now: the filter keeps it in its state.
func (v *Verdict) Hold() { v.kind = v.kind&^0xff | 3 }

// PayloadConsumed says that the fields say all that the payload says: no message is made of it.
func (v *Verdict) PayloadConsumed() { v.kind |= 1 << 8 }

// Header is a header of an emission.
type Header struct {
	Name  string
	Value []byte
}

// Emit appends a record to another topic; a nil payload is the record's own. With withHeaders its headers go before the others.
func (v *Verdict) Emit(topic string, payload []byte, withHeaders bool, headers ...Header) {
	to := built([]byte(topic))
	slot, from, n := uint32(0), uint32(0), uint32(math.MaxUint32)
	if payload != nil {
		slot, from, n = v.place(payload)
	}
	for _, header := range headers {
		name := built([]byte(header.Name))
		slot, from, n := v.place(header.Value)
		answer.headers = words(answer.headers, name, uint32(len(header.Name)), slot, from, n, 0)
	}
	var flags uint32
	if withHeaders {
		flags = 1
	}
	answer.emissions = words(answer.emissions, to, uint32(len(topic)), slot, from, n, uint32(len(headers)), flags, 0)
	v.emissions++
}

func (v *Verdict) end(kind uint32, reason string) {
	v.kind = v.kind&^0xff | kind
	v.reason, v.rl = built([]byte(reason)), uint32(len(reason))
}

func (v *Verdict) str(name Name, operation uint32, value []byte) {
	slot, from, n := v.place(value)
	v.push(name, 1, operation, n, uint64(slot)|uint64(from)<<32)
}

func (v *Verdict) push(name Name, kind, operation, n uint32, body uint64) {
	answer.values = words(answer.values, uint32(name)|kind<<24|operation<<28, n, uint32(body), uint32(body>>32))
	v.values++
}

// place says where bytes lie, as the host sees it: in the payload, in a value that was read, or, copied, in the arena.
func (v *Verdict) place(value []byte) (slot, from, n uint32) {
	r := v.record
	if from, ok := within(r.payload, value); ok {
		return 0, from, uint32(len(value))
	}
	if _, ok := within(r.frame, value); ok {
		for i := 0; i < len(r.values); i += 16 {
			if from, ok := within(r.str(i), value); ok {
				return 2 + uint32(i/16), from, uint32(len(value))
			}
		}
	}
	return 1, built(value), uint32(len(value))
}

// Levels of log lines.
const (
	Error = 1
	Warn  = 2
	Info  = 3
	Debug = 4
)

// Log writes a line to the box's log.
func Log(level int, text string) { hostLog(int32(level), stringAt(text), uint32(len(text))) }

var (
	make_  func(*Setup) (Filter, error)
	filter Filter
	input  []byte
	ready  []byte
	head   []byte
	answer struct{ verdicts, values, emissions, headers, arena []byte }
	names  table
)

// table numbers names: those of the setup keep theirs, those of a call are forgotten with it.
type table struct {
	numbers       map[string]Name
	section       []byte
	declared      int
	declaredBytes int
	added         []string
}

func (t *table) number(name []byte) Name {
	if len(name) > 300 { // no field name is; the host says so
		name = name[:300]
	}
	if number, ok := t.numbers[string(name)]; ok {
		return number
	}
	if t.numbers == nil {
		t.numbers = map[string]Name{}
	}
	number := Name(len(t.numbers))
	own := string(name)
	t.numbers[own] = number
	t.added = append(t.added, own)
	t.section = binary.LittleEndian.AppendUint16(t.section, uint16(len(name)))
	t.section = append(t.section, name...)
	return number
}

func (t *table) beginCall() {
	for _, name := range t.added {
		delete(t.numbers, name)
	}
	t.added = t.added[:0]
	t.section = t.section[:t.declaredBytes]
}

//go:wasmexport sawbox_abi
func exportABI() int32 { return 1 }

//go:wasmexport alloc
func exportAlloc(n uint32) uint32 {
	if uint32(cap(input)) < n+1 {
		input = make([]byte, n+1)
	}
	return address(input)
}

//go:wasmexport init
func exportInit(_, n uint32) uint64 {
	// A panic's own words go to a standard error that is not there: say them to the host.
	defer explain()
	setup := &Setup{Config: append([]byte(nil), input[:n]...)}
	if make_ == nil {
		ready = append([]byte{1, 0, 0, 0}, "the filter registers nothing: call sawbox.Register in an init function"...)
		return pack(ready)
	}
	made, err := make_(setup)
	if err != nil {
		ready = append([]byte{1, 0, 0, 0}, err.Error()...)
		return pack(ready)
	}
	filter = made
	names.added, names.declaredBytes = nil, len(names.section)
	var flags byte
	if !setup.noPayload {
		flags = 1
	}
	ready = append([]byte{0, flags, byte(setup.count), byte(setup.count >> 8)}, setup.reads...)
	debug.SetGCPercent(400)
	return pack(ready)
}

//go:wasmexport process
func exportProcess(_, n uint32) uint64 {
	defer explain()
	frame := input[:n:n]
	a := &answer
	a.verdicts, a.values, a.emissions, a.headers, a.arena = a.verdicts[:0], a.values[:0], a.emissions[:0], a.headers[:0], a.arena[:0]
	names.beginCall()
	count := u32(frame[4:])
	values := frame[24+count*48:]
	var record Record
	var verdict Verdict
	for i := uint32(0); i < count; i++ {
		entry := frame[24+i*48 : 24+i*48+48]
		from, to := u32(entry[40:])*16, (u32(entry[40:])+u32(entry[44:]))*16
		begin := u32(entry[32:])
		end := begin + u32(entry[36:])
		record = Record{index: i, entry: entry, values: values[from:to], frame: frame, payload: frame[begin:end:end]}
		verdict = Verdict{record: &record}
		filter.Process(&record, &verdict)
		a.verdicts = words(a.verdicts, verdict.kind, verdict.values, verdict.reason, verdict.rl, verdict.emissions, 0)
	}
	head = words(head[:0], 1, count)
	for _, section := range [...][]byte{a.verdicts, a.values, names.section, a.emissions, a.headers, a.arena} {
		head = words(head, address(section), uint32(len(section)))
	}
	head = words(head, 0, 0)
	return pack(head)
}

func explain() {
	if why := recover(); why != nil {
		text := "panic"
		switch why := why.(type) {
		case error:
			text = why.Error()
		case string:
			text = why
		}
		Log(0, text)
		panic(why)
	}
}

func built(bytes []byte) uint32 {
	from := len(answer.arena)
	answer.arena = append(answer.arena, bytes...)
	return uint32(from)
}

func words(section []byte, all ...uint32) []byte {
	for _, word := range all {
		section = binary.LittleEndian.AppendUint32(section, word)
	}
	return section
}

func within(whole, part []byte) (uint32, bool) {
	from := address(part) - address(whole)
	return from, from <= uint32(len(whole)) && uint32(len(part)) <= uint32(len(whole))-from
}

// grow asks the host for bytes, a second time where there was not enough room.
func grow(ask func([]byte) int32) ([]byte, int32) {
	out := make([]byte, 256)
	n := ask(out)
	if n > int32(len(out)) {
		out = make([]byte, n)
		n = ask(out)
	}
	return out[:max(n, 0)], n
}

func lastError() error {
	text, _ := grow(func(out []byte) int32 { return hostLastError(at(out), uint32(len(out))) })
	return errors.New(string(text))
}

func address(bytes []byte) uint32 { return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(bytes)))) }
func at(bytes []byte) unsafe.Pointer {
	return unsafe.Pointer(unsafe.SliceData(bytes))
}
func stringAt(text string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(text)) }
func pack(bytes []byte) uint64            { return uint64(address(bytes)) | uint64(len(bytes))<<32 }
func u32(bytes []byte) uint32             { return binary.LittleEndian.Uint32(bytes) }
func u64(bytes []byte) uint64             { return binary.LittleEndian.Uint64(bytes) }

//go:wasmimport sawbox log
func hostLog(level int32, at unsafe.Pointer, n uint32)

//go:wasmimport sawbox last_error
func hostLastError(out unsafe.Pointer, capacity uint32) int32

//go:wasmimport sawbox config
func hostConfig(at unsafe.Pointer, n uint32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport sawbox pattern_compile
func hostPatternCompile(at unsafe.Pointer, n uint32, kind int32) int32

//go:wasmimport sawbox pattern_describe
func hostPatternDescribe(handle int32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport sawbox pattern_match
func hostPatternMatch(handle int32, at unsafe.Pointer, n uint32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport sawbox lookup_open
func hostLookupOpen(at unsafe.Pointer, n uint32) int32

//go:wasmimport sawbox lookup_get
func hostLookupGet(handle int32, record uint32, at unsafe.Pointer, n uint32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport sawbox state_get
func hostStateGet(record uint32, at unsafe.Pointer, n uint32, out unsafe.Pointer, capacity uint32) int32

//go:wasmimport sawbox state_put
func hostStatePut(record uint32, at unsafe.Pointer, n uint32, value unsafe.Pointer, valueN uint32, ttlMs int64) int32

//go:wasmimport sawbox state_wait
func hostStateWait(record uint32, at unsafe.Pointer, n uint32, value unsafe.Pointer, valueN uint32, waitMs int64) int32

//go:wasmimport sawbox state_remove
func hostStateRemove(record uint32, at unsafe.Pointer, n uint32) int32
