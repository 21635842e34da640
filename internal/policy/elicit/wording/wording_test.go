package wording_test

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/policy/elicit/wording"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines are those of a list in testdata, without its comments.
func lines(t testing.TB, name string) []string {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatalf("open a list: %v", err)
	}
	defer f.Close()
	var all []string
	for in := bufio.NewScanner(f); in.Scan(); {
		if line := in.Text(); line != "" && !strings.HasPrefix(line, "# ") {
			all = append(all, line)
		}
	}
	return all
}

func TestNamesOfSecretsAreFound(t *testing.T) {
	r := wording.New()
	all := lines(t, "asked.txt")
	for _, name := range all {
		if got := r.Field(wording.Field{Name: name}); got == "" {
			t.Errorf("the field %q is not found to ask for a secret", name)
		}
		if got := r.Field(wording.Field{Name: "field1", Title: name}); got == "" {
			t.Errorf("a field with the title %q is not found to ask for a secret", name)
		}
	}
	t.Logf("%d names of secrets", len(all))
}

func TestNamesThatOnlyLookLikeSecretsPass(t *testing.T) {
	r := wording.New()
	all := lines(t, "plain.txt")
	for _, name := range all {
		if got := r.Field(wording.Field{Name: name}); got != "" {
			t.Errorf("the field %q is taken to ask for a secret, %q", name, got)
		}
		if got := r.Field(wording.Field{Name: "field1", Title: name}); got != "" {
			t.Errorf("the title %q is taken to ask for a secret, %q", name, got)
		}
	}
	t.Logf("%d names of no secrets", len(all))
}

func TestQuestionsForSecretsAreFound(t *testing.T) {
	r := wording.New()
	all := lines(t, "questions_asked.txt")
	for _, text := range all {
		if r.Question(text) == "" {
			t.Errorf("the question %q is not found to ask for a secret", text)
		}
	}
	t.Logf("%d questions for secrets", len(all))
}

func TestQuestionsThatOnlySpeakOfSecretsPass(t *testing.T) {
	r := wording.New()
	all := lines(t, "questions_plain.txt")
	for _, text := range all {
		if got := r.Question(text); got != "" {
			t.Errorf("the question %q is taken to ask for a secret, %q", text, got)
		}
	}
	t.Logf("%d questions for no secrets", len(all))
}

func TestWhatIsSaidOfAFieldCounts(t *testing.T) {
	tests := map[string]struct {
		field wording.Field
		want  string // empty: it asks for no secret
	}{
		"a description that begins with whose secret it is": {wording.Field{Description: "Your GitHub password"}, "password"},
		"a description that begins with the secret":         {wording.Field{Description: "API key used to sign requests"}, "api key"},
		"a description that asks for it":                    {wording.Field{Description: "Enter the OTP from your authenticator app"}, "otp"},
		"a description in another language":                 {wording.Field{Description: "Wie lautet dein Kennwort?"}, "kennwort"},
		"a description that mentions a secret":              {wording.Field{Description: "The file to encrypt; its password is asked for separately"}, ""},
		"a description that says what is not meant":         {wording.Field{Description: "Name of the project (not the API key)"}, ""},
		"a description that warns":                          {wording.Field{Description: "A short note. Never put a password here."}, ""},
		"a description of what a token belongs to":          {wording.Field{Description: "Slack channel that the token belongs to"}, ""},
		"a page token that is called one":                   {wording.Field{Name: "page_token", Description: "Token returned by the previous page"}, ""},
		"a page token that is called otherwise":             {wording.Field{Name: "page", Description: "Token returned by the previous page"}, "token"}, // by mistake
		"a title with more than the secret":                 {wording.Field{Title: "Password (min. 8 characters)"}, "password"},
		"a title with a dash":                               {wording.Field{Title: "API key - required"}, "api key"},
		"a title that asks to repeat it":                    {wording.Field{Title: "Confirm password"}, "password"},
		"a title that is of a name":                         {wording.Field{Title: "Name for the API key"}, ""},
		"a title that is of the value":                      {wording.Field{Title: "Value of the token"}, "token"},
		"letters of full width":                             {wording.Field{Title: "ＯＴＰ"}, "otp"},
		"letters of mathematics":                            {wording.Field{Title: "𝓹𝓪𝓼𝓼𝔀𝓸𝓻𝓭"}, "password"},
		"letters in circles":                                {wording.Field{Title: "ⓟⓘⓝ"}, "pin"},
	}
	r := wording.New()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := r.Field(test.field); got != test.want {
				t.Errorf("%+v asks for %q, want %q", test.field, got, test.want)
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	for _, name := range []string{"asked.txt", "plain.txt", "questions_asked.txt", "questions_plain.txt"} {
		for i, line := range lines(f, name) {
			if i%10 == 0 {
				f.Add(line)
			}
		}
	}
	r := wording.New()
	f.Fuzz(func(t *testing.T, text string) {
		found := r.Question(text)
		if padded := r.Question(text + strings.Repeat(" ", 3)); padded != found {
			t.Errorf("%q asks for %q, and with spaces behind it for %q", text, found, padded)
		}
		if r.Question("Please enter your password. "+text) == "" {
			t.Errorf("a question for a password is not found before %q", text)
		}
		r.Field(wording.Field{Name: text, Title: text, Description: text})
	})
}

func BenchmarkForm(b *testing.B) {
	r := wording.New()
	for b.Loop() {
		r.Field(wording.Field{Name: "displayName", Title: "Display name", Description: "How the others shall see you in this room"})
	}
}
