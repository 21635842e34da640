package jsonrpc_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// flat is what a test says about a message: its parts as text.
type flat struct {
	ID, Method, Params, Result string
	Code                       int
	Message, Data              string
}

func flatten(m jsonrpc.Message) flat {
	f := flat{ID: string(m.ID), Method: m.Method, Params: string(m.Params.Raw()), Result: string(m.Result.Raw())}
	if m.Error != nil {
		f.Code, f.Message, f.Data = m.Error.Code, m.Error.Message, string(m.Error.Data)
	}
	return f
}

func TestParseAccepts(t *testing.T) {
	tests := []struct {
		name, in string
		want     flat
	}{
		{"a request without params", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, flat{ID: "1", Method: "ping"}},
		{"a request with params", `{"jsonrpc":"2.0","id":"a","method":"m","params":{"x":[1]}}`,
			flat{ID: `"a"`, Method: "m", Params: `{"x":[1]}`}},
		{"members in any order", `{"params":{},"method":"m","id":3,"jsonrpc":"2.0"}`, flat{ID: "3", Method: "m", Params: "{}"}},
		{"white space around every token", " \t\r\n{ \"jsonrpc\" : \"2.0\" , \"id\" : 1 , \"method\" : \"m\" , \"params\" : { } } \n",
			flat{ID: "1", Method: "m", Params: "{ }"}},
		{"a notification", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, flat{Method: "notifications/initialized"}},
		{"a result", `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`, flat{ID: "1", Result: `{"content":[]}`}},
		{"an error with data", `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no \u00e9","data":{"a":1}}}`,
			flat{ID: "1", Code: -32602, Message: "no é", Data: `{"a":1}`}},
		{"an error with id null, as the TypeScript SDK answers unreadable requests",
			`{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request"},"id":null}`, flat{Code: -32000, Message: "Bad Request"}},
		{"an error without id", `{"jsonrpc":"2.0","error":{"code":1,"message":""}}`, flat{Code: 1}},
		{"an error message with a lone surrogate, replaced", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"\ud800"}}`,
			flat{ID: "1", Code: 1, Message: "\ufffd"}},
		{"an id beyond 2^53 as it is", `{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"m"}`,
			flat{ID: "123456789012345678901234567890", Method: "m"}},
		{"a negative id", `{"jsonrpc":"2.0","id":-7,"method":"m"}`, flat{ID: "-7", Method: "m"}},
		{"an empty string as id", `{"jsonrpc":"2.0","id":"","method":"m"}`, flat{ID: `""`, Method: "m"}},
		{"an id spelled with escapes as it is", `{"jsonrpc":"2.0","id":"\u0061","method":"m"}`, flat{ID: `"\u0061"`, Method: "m"}},
		{"names and methods spelled with escapes", `{"jsonrpc":"2.0","i\u0064":1,"\u006dethod":"tools\/c\u0061ll"}`,
			flat{ID: "1", Method: "tools/call"}},
		{"a version spelled with escapes", `{"jsonrpc":"2\u002e0","id":1,"method":"m"}`, flat{ID: "1", Method: "m"}},
		{"unknown members everywhere", `{"jsonrpc":"2.0","grease":[{}],"id":1,"method":"x/y","params":{"_meta":{"com.example/a":1},"z":{}}}`,
			flat{ID: "1", Method: "x/y", Params: `{"_meta":{"com.example/a":1},"z":{}}`}},
		{"unknown members of an error", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m","stack":{"a":[]}}}`,
			flat{ID: "1", Code: 1, Message: "m"}},
		{"protocol names in other case below the levels that we read",
			`{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"x","arguments":{"Name":1,"name":2,"Method":3}}}`,
			flat{ID: "1", Method: "m", Params: `{"name":"x","arguments":{"Name":1,"name":2,"Method":3}}`}},
		{"names in other case in a result", `{"jsonrpc":"2.0","id":1,"result":{"Content":1}}`, flat{ID: "1", Result: `{"Content":1}`}},
		{"an envelope name in other case in params", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"Jsonrpc":1,"ID":2}}`,
			flat{ID: "1", Method: "m", Params: `{"Jsonrpc":1,"ID":2}`}},
		{"lone surrogates as values", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":"\ud800","b":["\udc00x"]}}`,
			flat{ID: "1", Method: "m", Params: `{"a":"\ud800","b":["\udc00x"]}`}},
		{"_meta that is no object", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":[{"Progresstoken":1}]}}`,
			flat{ID: "1", Method: "m", Params: `{"_meta":[{"Progresstoken":1}]}`}},
		{"U+FEFF within a string", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\ufeff\"}", flat{ID: "1", Method: "\ufeff"}},
		{"the same name in different objects", `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}}`,
			flat{ID: "1", Method: "m", Params: `{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}`}},
		{"a number of 1024 characters", request(`"n":` + strings.Repeat("1", 1024)),
			flat{ID: "1", Method: "m", Params: `{"n":` + strings.Repeat("1", 1024) + `}`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := jsonrpc.Parse([]byte(tt.in), jsonrpc.Limits{})
			if err != nil {
				t.Fatalf("Parse(%s): got error %v, want none", tt.in, err)
			}
			if diff := cmp.Diff(tt.want, flatten(m)); diff != "" {
				t.Errorf("Parse(%s) differs (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

// request returns a request whose params have the given members.
func request(members string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"m","params":{` + members + `}}`
}

func TestParseRefuses(t *testing.T) {
	const parse, invalid = jsonrpc.CodeParse, jsonrpc.CodeInvalidRequest
	tests := []struct {
		name, in string
		code     int
		at       int
		says     string
		id       jsonrpc.ID
	}{
		{"nothing", ``, parse, 0, "empty", ""},
		{"white space only", " \n", parse, 2, "empty", ""},
		{"a byte order mark", "\xef\xbb\xbf" + `{"jsonrpc":"2.0","id":1,"method":"m"}`, parse, 0, "byte order mark", ""},
		{"UTF-16", "{\x00\"\x00", parse, 1, "member name", ""},
		{"bytes after the message", `{"jsonrpc":"2.0","id":1,"method":"m"}{`, parse, 37, "more bytes", "1"},
		{"a message cut short", `{"jsonrpc":"2.0","id":1,"method":"m"`, parse, 36, "ends", "1"},
		{"a string instead of a message", `"x"`, invalid, 0, "not an object", ""},
		{"a batch", `[{"jsonrpc":"2.0","id":1,"method":"m"}]`, invalid, 0, "not an object", ""},
		{"a word that is no value", `nul`, parse, 0, "true, false and null", ""},
		{"a control character in a string", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\nb\"}", parse, 35, "control character", "1"},
		{"bytes that are not UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\xffb\"}", parse, 35, "UTF-8", "1"},
		{"a surrogate encoded in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", parse, 6, "UTF-8", ""},
		{"an overlong slash", "{\"a\":\"\xc0\xaf\"}", parse, 6, "UTF-8", ""},
		{"an unknown escape", `{"a":"\x41"}`, parse, 6, "escape", ""},
		{"an escape without its digits", `{"a":"\u12"}`, parse, 6, "four hexadecimal", ""},
		{"a leading zero", `{"a":01}`, parse, 6, "comma or }", ""},
		{"a number without digits after the point", `{"a":1.}`, parse, 7, "digit", ""},
		{"a comma before the end", `{"a":1,}`, parse, 7, "member name", ""},
		{"a member without colon", `{"a" 1}`, parse, 5, "colon", ""},
		{"a name without end", `{"a`, parse, 3, "closing quote", ""},
		{"a name that is no string in a recorded object", request(`1:2`), parse, 47, "member name", "1"},
		{"bytes that are no value in an error", `{"id":1,"error":{"code":x}}`, parse, 24, "value", "1"},
		{"params without end", `{"id":1,"params":{"a":1`, parse, 23, "ends", "1"},
		{"a comment", `{/**/"a":1}`, parse, 1, "member name", ""},

		{"no version", `{"id":1,"method":"m"}`, invalid, 0, "jsonrpc", "1"},
		{"version 1.0", `{"jsonrpc":"1.0","id":1,"method":"m"}`, invalid, 11, "2.0", "1"},
		{"the version as a number", `{"jsonrpc":2.0,"id":1,"method":"m"}`, invalid, 11, "2.0", "1"},
		{"a method that is no string", `{"jsonrpc":"2.0","method":5,"id":1}`, invalid, 26, "not a string", "1"},
		{"an empty method", `{"jsonrpc":"2.0","method":"","id":1}`, invalid, 26, "empty", "1"},
		{"a method with a lone surrogate", `{"jsonrpc":"2.0","method":"\ud800","id":1}`, invalid, 26, "surrogate", "1"},
		{"an id that is an object", `{"jsonrpc":"2.0","method":"m","id":{}}`, invalid, 35, "id", ""},
		{"an id that is a boolean", `{"jsonrpc":"2.0","method":"m","id":true}`, invalid, 35, "id", ""},
		{"an id with a fraction", `{"jsonrpc":"2.0","method":"m","id":1.0}`, invalid, 35, "fraction", ""},
		{"an id with an exponent", `{"jsonrpc":"2.0","method":"m","id":1E3}`, invalid, 35, "exponent", ""},
		{"a request with id null", `{"jsonrpc":"2.0","method":"m","id":null}`, invalid, 0, "null", ""},
		{"a result with id null", `{"jsonrpc":"2.0","result":{},"id":null}`, invalid, 0, "without", ""},
		{"a result without id", `{"jsonrpc":"2.0","result":{}}`, invalid, 0, "without", ""},
		{"params that are an array", `{"jsonrpc":"2.0","method":"m","params":[1],"id":1}`, invalid, 39, "not an object", "1"},
		{"params that are null", `{"jsonrpc":"2.0","method":"m","params":null,"id":1}`, invalid, 39, "not an object", "1"},
		{"a result that is a string", `{"jsonrpc":"2.0","result":"x","id":1}`, invalid, 26, "not an object", "1"},
		{"neither method nor result nor error", `{"jsonrpc":"2.0","id":1}`, invalid, 0, "none of", "1"},
		{"method beside result", `{"jsonrpc":"2.0","id":1,"method":"m","result":{}}`, invalid, 0, "beside", "1"},
		{"method beside error", `{"jsonrpc":"2.0","id":1,"method":"m","error":{"code":1,"message":""}}`, invalid, 0, "beside", "1"},
		{"result beside error", `{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}`, invalid, 0, "beside", "1"},
		{"result beside error null", `{"jsonrpc":"2.0","id":1,"result":{},"error":null}`, invalid, 44, "not an object", "1"},
		{"params in a response", `{"jsonrpc":"2.0","id":1,"result":{},"params":{}}`, invalid, 0, "response", "1"},
		{"an error without code", `{"jsonrpc":"2.0","id":1,"error":{"message":""}}`, invalid, 32, "code", "1"},
		{"an error without message", `{"jsonrpc":"2.0","id":1,"error":{"code":1}}`, invalid, 32, "message", "1"},
		{"an error whose code has a fraction", `{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":""}}`, invalid, 40, "integer", "1"},
		{"an error whose code is a string", `{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":""}}`, invalid, 40, "integer", "1"},
		{"an error whose code is beyond 64 bits", `{"jsonrpc":"2.0","id":1,"error":{"code":99999999999999999999,"message":""}}`, invalid, 40, "integer", "1"},
		{"an error whose message is a number", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":2}}`, invalid, 52, "string", "1"},

		{"a method twice", `{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}`, invalid, 37, `"method" stands twice`, "1"},
		{"an id twice, so that nobody knows which", `{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}`, invalid, 24, "twice", ""},
		{"a name twice by way of escapes", request(`"a":1,"\u0061":2`), invalid, 53, "twice", "1"},
		{"a name twice, three deep", request(`"a":{"b":[{"c":1,"c":2}]}`), invalid, 64, `"c" stands twice`, "1"},
		{"a name twice in an error's data", `{"id":4,"jsonrpc":"2.0","error":{"code":1,"message":"","data":{"a":1,"a":1}}}`, invalid, 69, "twice", "4"},
		{"a lone surrogate in a name", request(`"a":[{"\udead":1}]`), invalid, 53, "surrogate", "1"},

		{"Method for method", `{"jsonrpc":"2.0","id":1,"Method":"m"}`, invalid, 24, `mistaken`, "1"},
		{"Method beside method", `{"jsonrpc":"2.0","id":1,"method":"m","Method":"n"}`, invalid, 37, `"method"`, "1"},
		{"ID for id", `{"jsonrpc":"2.0","ID":1,"method":"m"}`, invalid, 17, `"id"`, ""},
		{"Method by way of escapes", `{"jsonrpc":"2.0","id":1,"\u004dethod":"m"}`, invalid, 24, `"method"`, "1"},
		{"params with a long s", `{"jsonrpc":"2.0","id":1,"method":"m","paramſ":{}}`, invalid, 37, `"params"`, "1"},
		{"params with a long s by way of escapes", `{"jsonrpc":"2.0","id":1,"method":"m","param\u017f":{}}`, invalid, 37, `"params"`, "1"},
		{"Name beside name", request(`"name":"a","Name":"b"`), invalid, 58, `"name"`, "1"},
		{"Arguments for arguments", request(`"Arguments":{}`), invalid, 47, `"arguments"`, "1"},
		{"progressToken with a Kelvin sign in _meta", request(`"_meta":{"progressTo` + "\u212a" + `en":1}`), invalid, 56, `"progressToken"`, "1"},
		{"protocolversion in _meta", request(`"_meta":{"io.modelcontextprotocol/protocolversion":""}`), invalid, 56, "protocolVersion", "1"},
		{"_Meta for _meta", request(`"_Meta":{}`), invalid, 47, `"_meta"`, "1"},
		{"traceParent in _meta of a result", `{"jsonrpc":"2.0","id":1,"result":{"_meta":{"traceParent":""}}}`, invalid, 43, `"traceparent"`, "1"},

		{"a number of 1025 characters", request(`"n":` + strings.Repeat("1", 1025)), invalid, 51, "1024", "1"},
		{"an id of 1025 digits", `{"jsonrpc":"2.0","method":"m","id":` + strings.Repeat("1", 1025) + `}`, invalid, 35, "1024", ""},
		{"129 levels", request(`"a":` + strings.Repeat("[", 127) + strings.Repeat("]", 127)), invalid, 51 + 126, "deep", "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := jsonrpc.Parse([]byte(tt.in), jsonrpc.Limits{})
			var e *jsonrpc.Error
			if !errors.As(err, &e) {
				t.Fatalf("Parse(%s): got %+v and error %v, want an *Error", tt.in, flatten(m), err)
			}
			if e.Code != tt.code || !strings.Contains(e.Message, tt.says) || !strings.Contains(e.Message, fmt.Sprintf("at byte %d:", tt.at)) {
				t.Errorf("Parse(%s): got error %v, want code %d, byte %d and %q", tt.in, e, tt.code, tt.at, tt.says)
			}
			if m.ID != tt.id {
				t.Errorf("Parse(%s): got id %q beside the error, want %q", tt.in, m.ID, tt.id)
			}
			if !m.Params.IsZero() || !m.Result.IsZero() || m.Error != nil {
				t.Errorf("Parse(%s): got %+v beside the error, want id and method only", tt.in, flatten(m))
			}
		})
	}
}

func TestParseTellsRequestNotificationAndResponseApart(t *testing.T) {
	for in, want := range map[string][3]bool{
		`{"jsonrpc":"2.0","id":1,"method":"m"}`:                       {true, false, false},
		`{"jsonrpc":"2.0","method":"m"}`:                              {false, true, false},
		`{"jsonrpc":"2.0","id":1,"result":{}}`:                        {false, false, true},
		`{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}`: {false, false, true},
	} {
		m, err := jsonrpc.Parse([]byte(in), jsonrpc.Limits{})
		if err != nil {
			t.Fatalf("Parse(%s): %v", in, err)
		}
		if got := [3]bool{m.IsRequest(), m.IsNotification(), m.IsResponse()}; got != want {
			t.Errorf("Parse(%s): got request, notification, response = %v, want %v", in, got, want)
		}
	}
}

func TestDepthIsBoundedAsLimitsSay(t *testing.T) {
	in := []byte(request(`"a":[[]]`)) // 4 levels
	if _, err := jsonrpc.Parse(in, jsonrpc.Limits{MaxDepth: 4}); err != nil {
		t.Errorf("Parse(%s) with MaxDepth 4: got %v, want no error", in, err)
	}
	if _, err := jsonrpc.Parse(in, jsonrpc.Limits{MaxDepth: 3}); err == nil {
		t.Errorf("Parse(%s) with MaxDepth 3: got no error", in)
	}
	bomb := []byte(strings.Repeat(`{"a":[`, 1_000_000))
	if _, err := jsonrpc.Parse(bomb, jsonrpc.Limits{}); err == nil {
		t.Error("Parse of a million nested arrays: got no error")
	}
}

func TestDuplicateNamesAreFoundInObjectsOfAnySize(t *testing.T) {
	for _, size := range []int{1, 2, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000} {
		for _, length := range []int{0, 4, 5, 20} { // names below, at and above the eight bytes of a word
			names := make([]string, size)
			for i := range names {
				names[i] = fmt.Sprintf("%0*d", length, i)
			}
			if in := object(names); !accepted(in) {
				t.Errorf("object of %d distinct names of %d digits: got refused: %.200s", size, length, in)
			}
			for _, i := range []int{0, size / 2, size - 1} {
				escaped := fmt.Sprintf(`\u%04x`, names[i][0]) + names[i][1:]
				for _, again := range []string{names[i], escaped} {
					if in := object(append(names[:size:size], again)); accepted(in) {
						t.Errorf("object of %d names with %q twice: got accepted: %.200s", size, again, in)
					}
				}
			}
		}
	}
}

// object returns an object with the given names, which stand there as they are, twice: the second one nested in the first.
func object(names []string) string {
	inner := `{"` + strings.Join(names, `":0,"`) + `":0}`
	return `{"` + strings.Join(names, `":[],"`) + `":` + inner + `}`
}

func accepted(raw string) bool {
	_, err := jsonrpc.ParseObject([]byte(raw), jsonrpc.Limits{})
	return err == nil
}

// The two names have the same fingerprint (keys.go): what differs in the first eight bytes is made up for in the last.
func TestDifferentNamesWithOneFingerprintAreDifferent(t *testing.T) {
	if in := `{"aaaabbbbcccccccc":1,"aaaAbbbbbccccccc":2}`; !accepted(in) {
		t.Errorf("ParseObject(%s): got refused, want accepted", in)
	}
	if in := `{"aaaabbbbcccccccc":1,"aaaAbbbbbccccccc":2,"aaaabbbbcccccccc":3}`; accepted(in) {
		t.Errorf("ParseObject(%s): got accepted, want refused", in)
	}
}

func TestALongNameIsCutInTheErrorThatTellsOfIt(t *testing.T) {
	name := strings.Repeat("é", 100_000)
	_, err := jsonrpc.ParseObject([]byte(`{"`+name+`":1,"`+name+`":2}`), jsonrpc.Limits{})
	if err == nil || len(err.Error()) > 300 || !utf8.ValidString(err.Error()) {
		t.Errorf("ParseObject with a name of 200,000 bytes twice: got error %.400v, want one of at most 300 bytes", err)
	}
}

// A quadratic search takes many minutes here; the bound leaves a hundred times what the scan needs, for the race detector
// on a busy machine.
func TestManyNamesAreNotSearchedOneByOne(t *testing.T) {
	in := wide(1_200_000)
	start := time.Now()
	if _, err := jsonrpc.Parse(in, jsonrpc.Limits{}); err != nil {
		t.Fatalf("Parse of 1,200,000 names: %v", err)
	}
	if took := time.Since(start); took > 2*time.Minute {
		t.Errorf("Parse of 1,200,000 names took %v, want less than 2m", took)
	}
}

func TestSmallMessagesNeedTwoAllocations(t *testing.T) {
	for _, name := range []string{"small request", "small result", "1 MiB result", "200 KB tools list"} {
		data := samples()[name]
		got := testing.AllocsPerRun(100, func() {
			if _, err := jsonrpc.Parse(data, jsonrpc.Limits{}); err != nil {
				t.Fatal(err)
			}
		})
		if got > 2 {
			t.Errorf("Parse of a %s: got %v allocations, want at most 2", name, got)
		}
	}
}

// The reader's buffer is reused for the next message while ids and methods are still in use as map keys.
func TestStringsOfAMessageDoNotAliasTheInput(t *testing.T) {
	in := []byte(`{"jsonrpc":"2.0","id":"abc","method":"some/method","params":{"vendor":1}}`)
	m, err := jsonrpc.Parse(in, jsonrpc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	clear(in)
	if m.ID != `"abc"` || m.Method != "some/method" || m.Params.Members()[0].Name != "vendor" {
		t.Errorf("after the input was cleared: got id %q, method %q, name %q", m.ID, m.Method, m.Params.Members()[0].Name)
	}
}

func TestParseBatch(t *testing.T) {
	const one = `{"jsonrpc":"2.0","id":1,"method":"m"}`
	const note = `{"jsonrpc":"2.0","method":"n"}`
	tests := []struct {
		name, in string
		want     int // messages; 0 means refused
	}{
		{"one message", `[` + one + `]`, 1},
		{"two messages and white space", " [ " + one + " ,\n" + note + " ] ", 2},
		{"as many as the limit", `[` + one + `,` + note + `,` + note + `]`, 3},
		{"more than the limit", `[` + one + `,` + note + `,` + note + `,` + note + `]`, 0},
		{"none", `[]`, 0},
		{"a message without array", one, 0},
		{"one bad message", `[` + one + `,{"jsonrpc":"2.0"}]`, 0},
		{"a value that is no message", `[` + one + `,5]`, 0},
		{"a batch in a batch", `[[` + one + `]]`, 0},
		{"bytes after it", `[` + one + `]x`, 0},
		{"a comma at the end", `[` + one + `,]`, 0},
		{"an array that does not end", `[` + one, 0},
		{"a byte order mark", "\xef\xbb\xbf[" + one + "]", 0},
		{"nothing", ``, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			msgs, err := jsonrpc.ParseBatch([]byte(tt.in), jsonrpc.Limits{MaxBatch: 3})
			if len(msgs) != tt.want || (err == nil) != (tt.want > 0) {
				t.Errorf("ParseBatch(%s): got %d messages and error %v, want %d messages", tt.in, len(msgs), err, tt.want)
			}
		})
	}
}

func TestIsBatch(t *testing.T) {
	for in, want := range map[string]bool{"": false, " ": false, "[": true, " \r\n\t[1": true, "{": false, "\v[": false} {
		if got := jsonrpc.IsBatch([]byte(in)); got != want {
			t.Errorf("IsBatch(%q): got %v, want %v", in, got, want)
		}
	}
}
