package mongo

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// random makes a document of every type.
func random(r *rand.Rand, level int) bson.D {
	d := bson.D{}
	for range r.IntN(6) {
		d = append(d, bson.E{Key: string([]rune{rune('a' + r.IntN(26)), rune(r.IntN(0x2000) + 1)}), Value: randomValue(r, level)})
	}
	return d
}

func randomValue(r *rand.Rand, level int) any {
	var id bson.ObjectID
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	values := []any{
		r.Int32(), r.Int64(), int64(r.Int32()) << 30, r.NormFloat64(), float64(r.Int32()), math.Inf(1), math.Inf(-1), 1e300, math.Copysign(0, -1), "te\"xt\\\n\x01é\u2028😀", true, nil, id,
		bson.DateTime(r.Int64N(4e12)), bson.DateTime(-r.Int64N(4e12)), bson.DateTime(r.Int64()), bson.Binary{Subtype: byte(r.IntN(6)), Data: id[:]}, bson.Regex{Pattern: "a/\"b", Options: "im"},
		bson.Timestamp{T: r.Uint32(), I: r.Uint32()}, bson.MinKey{}, bson.MaxKey{}, bson.Undefined{}, bson.JavaScript("f()"), bson.Symbol("s"), bson.CodeWithScope{Code: "g", Scope: bson.D{{Key: "x", Value: int32(1)}}},
		bson.DBPointer{DB: "a.b", Pointer: id}, bson.NewDecimal128(0x3040000000000000, r.Uint64()>>8),
	}
	if level > 0 {
		values = append(values, random(r, level-1), bson.A{randomValue(r, level-1), randomValue(r, level-1)}, bson.A{})
	}
	return values[r.IntN(len(values))]
}

// TestWhatIsWrittenReadsBack says that an answer, sent back as it is, means the same document, except that small longs are ints.
func TestWhatIsWrittenReadsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		document := random(r, 3)
		raw, err := bson.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		text, err := appendDocument(nil, raw)
		if err != nil {
			t.Fatalf("%v: %v", document, err)
		}
		var back bson.D
		if err := bson.UnmarshalExtJSON(text, false, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := bson.Marshal(back)
		if err != nil {
			t.Fatal(err)
		}
		if once, err := appendDocument(nil, again); err != nil || !bytes.Equal(once, text) {
			t.Fatalf("%s is read back as %s (%v)", text, once, err)
		}
		if got, want := longsAsInts(bson.Raw(again).String()), longsAsInts(bson.Raw(raw).String()); got != want {
			t.Fatalf("%s means %s, want %s", text, got, want)
		}
	}
}

func longsAsInts(text string) string { return strings.ReplaceAll(text, "$numberLong", "$numberInt") }

func TestValuesAreWrittenSo(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 70e6, time.UTC)
	for want, value := range map[string]any{
		`{"v":1}`: int64(1), `{"v":1.0}`: 1.0, `{"v":-0.5}`: -0.5, `{"v":{"$numberLong":"9007199254740993"}}`: int64(9007199254740993), `{"v":{"$numberDouble":"NaN"}}`: math.NaN(),
		`{"v":{"$date":"2026-02-03T04:05:06.07Z"}}`: at, `{"v":{"$date":{"$numberLong":"-1"}}}`: time.UnixMilli(-1), `{"v":{"$binary":{"base64":"AP8=","subType":"00"}}}`: []byte{0, 255},
		`{"v":{"$numberDecimal":"12.30"}}`: decimal("12.30"), `{"v":[]}`: bson.A{}, `{"v":{}}`: bson.D{},
	} {
		raw, err := bson.Marshal(bson.D{{Key: "v", Value: value}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := appendDocument(nil, raw); err != nil || string(got) != want {
			t.Errorf("%v: got %s, %v, want %s", value, got, err, want)
		}
	}
}

func decimal(text string) bson.Decimal128 {
	d, err := bson.ParseDecimal128(text)
	if err != nil {
		panic(err)
	}
	return d
}

// TestWhatIsBrokenIsAnError says that no bytes of a server make us fail otherwise than by an error.
func TestWhatIsBrokenIsAnError(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	failed := 0
	for range 1000 {
		raw, err := bson.Marshal(random(r, 3))
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			broken := bytes.Clone(raw)
			for range 1 + r.IntN(3) {
				broken[r.IntN(len(broken))] = byte(r.Uint32())
			}
			broken = broken[:len(broken)-r.IntN(2)*r.IntN(len(broken))]
			if _, err := appendDocument(nil, broken); err != nil {
				failed++
			}
			_, _ = appendRow(nil, broken, []string{"a", "a.b"})
			(&sampled{fields: map[string]*seenField{}}).add("", broken, 1)
		}
	}
	if failed < 300 {
		t.Errorf("%d of 10,000 broken documents were errors, want most of them", failed)
	}
}

func TestADocumentThatIsTooDeepIsAnError(t *testing.T) {
	raw := bson.Raw{5, 0, 0, 0, 0}
	for range 10_000 {
		outer := binary.LittleEndian.AppendUint32(nil, uint32(len(raw)+8))
		raw = append(append(append(outer, 3, 'a', 0), raw...), 0)
	}
	if text, err := appendDocument(nil, raw); err == nil {
		t.Errorf("got %d bytes, want an error", len(text))
	}
}

// FuzzVerdict says that a question is refused or made a command, whatever its text.
func FuzzVerdict(f *testing.F) {
	for _, text := range []string{`[{"$match": {"a": 1}}]`, `[{"$facet": {"a": [{"$out": "x"}]}}]`, `[{"$lookup": {"from": "a", "pipeline": []}}]`, `{"$date": 1}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value, err := parse("pipeline", []byte(text))
		if err != nil || (&verdict{operators: operators}).pipeline(value, 0) != nil {
			return
		}
		raw, err := bson.Marshal(bson.D{{Key: "v", Value: value}})
		if err != nil {
			return
		}
		for _, name := range []string{"$out", "$merge", "$function", "$where", "$accumulator", "$changeStream"} {
			if keyed(raw, name) {
				t.Errorf("%s was let through with %s", text, name)
			}
		}
	})
}

// keyed says whether any document of raw has a key.
func keyed(raw bson.Raw, name string) bool {
	elements, _ := raw.Elements()
	for _, e := range elements {
		inner, _ := e.Value().DocumentOK()
		list, _ := e.Value().ArrayOK()
		if e.Key() == name || keyed(inner, name) || keyed(bson.Raw(list), name) {
			return true
		}
	}
	return false
}

// BenchmarkDocuments compares how a document becomes JSON here and by the driver's maps, since the server of the other benchmark
// takes so long that it hides the difference.
func BenchmarkDocuments(b *testing.B) {
	raw, err := bson.Marshal(bson.D{{Key: "_id", Value: 1}, {Key: "name", Value: "Somebody"}, {Key: "mail", Value: "somebody@example.org"}, {Key: "price", Value: 1.25}, {Key: "at", Value: time.Now()}})
	if err != nil {
		b.Fatal(err)
	}
	var times [2]time.Duration
	var row []byte
	for b.Loop() {
		began := time.Now()
		for range 100 {
			var document bson.M
			if err := bson.Unmarshal(raw, &document); err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(document); err != nil {
				b.Fatal(err)
			}
		}
		times[0] += time.Since(began)
		began = time.Now()
		for range 100 {
			if row, err = appendDocument(row[:0], raw); err != nil {
				b.Fatal(err)
			}
		}
		times[1] += time.Since(began)
	}
	b.ReportMetric(float64(times[1])/float64(times[0]), "ratio")
}
