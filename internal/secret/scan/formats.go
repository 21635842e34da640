package scan

// A format is how secrets of one issuer begin, and what follows. Formats are
// facts that issuers document, in the place that is named at each, and were
// compared with those that gitleaks looks for (config/gitleaks.toml of 2025).
// Not there, and so not compared, are ya29., GOCSPX-, whsec_, cio, r8_, gsk_,
// xai-, fw_, lin_oauth_, sq0csp-, figd_, FlyV1, sbp_, sb_secret_, tskey-, nfp_,
// CFPAT-, hvr. and AGE-PLUGIN-.
type format struct {
	prefix string
	of     class // of what follows the prefix
	least  int   // bytes after the prefix
	digit  bool  // there must be a digit among them, since the prefix alone occurs in words
}

// formats are ordered by who issues them; see formatTable for how they are found.
var formats = [...]format{
	// AWS: IAM User Guide, "IAM identifiers", unique identifier prefixes. The
	// secret half has no prefix and is found by its name.
	{"AKIA", upper, 16, false}, {"ASIA", upper, 16, false}, {"ABIA", upper, 16, false}, {"ACCA", upper, 16, false},
	// GitHub: docs "About authentication to GitHub", token formats.
	{"ghp_", word, 20, false}, {"gho_", word, 20, false}, {"ghu_", word, 20, false}, {"ghs_", word, 20, false},
	{"ghr_", word, 20, false}, {"github_pat_", word, 20, false},
	// GitLab: docs "Token overview", token prefixes.
	{"glpat-", dashed, 16, false}, {"gldt-", dashed, 16, false}, {"glrt-", dashed, 16, false}, {"glptt-", dashed, 16, false},
	{"glcbt-", dashed, 16, false}, {"glsoat-", dashed, 16, false}, {"gloas-", dashed, 16, false},
	// OpenAI (sk-…, sk-proj-…), Anthropic (sk-ant-…), OpenRouter (sk-or-…): their API references.
	{"sk-", dashed, 18, true},
	// Slack: api.slack.com "Token types"; legacy and app-level ones too.
	{"xoxb-", dashed, 10, false}, {"xoxp-", dashed, 10, false}, {"xoxa-", dashed, 10, false}, {"xoxr-", dashed, 10, false},
	{"xoxs-", dashed, 10, false}, {"xoxe-", dashed, 10, false}, {"xoxe.", dotted, 10, false}, {"xapp-", dashed, 10, false},
	{"hooks.slack.com/services/", path, 16, false},
	// Google: Cloud docs "Manage API keys" (AIza…) and OAuth 2.0 (ya29.…, GOCSPX-…).
	{"AIza", dashed, 30, false}, {"ya29.", dashed, 16, false}, {"GOCSPX-", dashed, 16, false},
	// Stripe: docs "API keys" and "Webhooks".
	{"sk_live_", word, 10, false}, {"sk_test_", word, 10, false}, {"rk_live_", word, 10, false}, {"rk_test_", word, 10, false},
	{"whsec_", base64, 16, false},
	// Package registries: npm docs "About access tokens"; PyPI help "API tokens"; crates.io; RubyGems guides.
	{"npm_", word, 30, false}, {"pypi-", dashed, 40, false}, {"cio", word, 32, true}, {"rubygems_", word, 40, false},
	// Hugging Face docs "User access tokens"; Replicate, Groq, Perplexity, xAI and Fireworks API references.
	{"hf_", word, 30, false}, {"r8_", word, 30, false}, {"gsk_", word, 30, false}, {"pplx-", dashed, 30, false},
	{"xai-", dashed, 30, false}, {"fw_", word, 20, true},
	// Clouds and services, each by its own reference: DigitalOcean, Shopify, SendGrid, Mailgun, Linear, Notion,
	// Databricks, Atlassian, Postman, Pulumi, Doppler, Grafana, New Relic, Square, Figma, Fly, Supabase,
	// Tailscale, Netlify, Contentful, PlanetScale.
	{"dop_v1_", word, 32, false}, {"doo_v1_", word, 32, false}, {"dor_v1_", word, 32, false},
	{"shpat_", word, 30, false}, {"shpss_", word, 30, false}, {"shpca_", word, 30, false}, {"shppa_", word, 30, false},
	{"SG.", dotted, 40, false}, {"key-", word, 32, true}, {"lin_api_", word, 30, false}, {"lin_oauth_", word, 30, false},
	{"ntn_", word, 30, false}, {"secret_", word, 40, true}, {"dapi", word, 32, true}, {"ATATT", dashed, 30, false},
	{"PMAK-", dashed, 30, false}, {"pul-", word, 40, false}, {"dp.st.", dotted, 30, false}, {"dp.pt.", dotted, 30, false},
	{"glsa_", word, 30, false}, {"glc_", base64, 30, false}, {"NRAK-", word, 20, false}, {"sq0atp-", dashed, 20, false},
	{"sq0csp-", dashed, 20, false}, {"EAAA", dashed, 56, false}, {"figd_", dashed, 30, false},
	{"fo1_", dashed, 30, false}, {"FlyV1", dotted, 30, true}, {"sbp_", word, 30, false}, {"sb_secret_", dashed, 20, false},
	{"tskey-", dashed, 16, false}, {"nfp_", word, 30, false}, {"CFPAT-", dashed, 30, false}, {"pscale_", dashed, 30, false},
	// HashiCorp Vault docs "Tokens" (hvs., hvb., hvr.); age and its plug-ins: C2SP age; 1Password service accounts.
	{"hvs.", dashed, 20, false}, {"hvb.", dashed, 20, false}, {"hvr.", dashed, 20, false},
	{"AGE-SECRET-KEY-", upper, 40, false}, {"AGE-PLUGIN-", dashed, 40, false}, {"ops_", base64, 60, false},
}

// Tokens of this program: API keys, and what its own authorization server gives.
// A dot may follow.
var own = [...]format{{"mcp_", dotted, 24, true}, {"drg_", dotted, 24, true}, {"dragoman_", dotted, 24, true}}

// class is a set of bytes.
type class uint8

const (
	upper  class = 1 << iota // A-Z 0-9
	word                     // letters, digits, _
	dashed                   // and -
	dotted                   // and .
	base64                   // letters, digits, + / = _ -
	path                     // and . / %
	letter                   // letters and digits
	digit
)

var classes = func() (t [256]class) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = upper | word | dashed | dotted | base64 | path | letter | digit
		case c >= 'A' && c <= 'Z':
			t[c] = upper | word | dashed | dotted | base64 | path | letter
		case c >= 'a' && c <= 'z':
			t[c] = word | dashed | dotted | base64 | path | letter
		}
	}
	t['_'] = word | dashed | dotted | base64 | path
	t['-'] = dashed | dotted | base64 | path
	t['.'] = dotted | path
	t['/'] = base64 | path
	t['+'], t['='] = base64, base64
	t['%'] = path
	return t
}()

// formatTable has the formats by their first two bytes, which are below 128:
// the place of their list in lists, 0 for none.
var formatTable = func() (t struct {
	place [1 << 14]uint8
	lists [][]format
}) {
	t.lists = make([][]format, 1)
	for _, f := range append(formats[:], own[:]...) {
		at := &t.place[int(f.prefix[0])<<7|int(f.prefix[1])]
		if *at == 0 {
			*at = uint8(len(t.lists))
			t.lists = append(t.lists, nil)
		}
		t.lists[*at] = append(t.lists[*at], f)
	}
	return t
}()

// formatted returns the end of a secret that begins at i by its format; 0 if
// none does.
func formatted(text string, i int) int {
	if i+1 >= len(text) || (text[i]|text[i+1])&0x80 != 0 {
		return 0
	}
	place := formatTable.place[int(text[i])<<7|int(text[i+1])]
	if place == 0 {
		return 0
	}
	for _, f := range formatTable.lists[place] {
		if end := f.match(text, i); end > 0 {
			return end
		}
	}
	return 0
}

// firstLook bounds how far a secret is looked at before it is known as one, so
// that a text of nothing but beginnings is read in a time that grows as it does.
const firstLook = 256

func (f format) match(text string, i int) int {
	if len(text)-i < len(f.prefix)+f.least || text[i:i+len(f.prefix)] != f.prefix {
		return 0
	}
	begin := i + len(f.prefix)
	end, digits := begin, false
	for end < min(len(text), begin+firstLook) && classes[text[end]]&f.of != 0 {
		digits = digits || classes[text[end]]&digit != 0
		end++
	}
	if end-begin < f.least || f.digit && !digits {
		return 0
	}
	for end < len(text) && classes[text[end]]&f.of != 0 {
		end++
	}
	return end
}

// token looks for a JSON Web Token or its encrypted form that begins at i: three
// or more parts in base64url, of which the first is a JSON object, {" (RFC 7519,
// section 3; RFC 7516, section 3). It returns where it ends, or how far there is
// none.
func token(text string, i int) (end int, found bool) {
	if len(text)-i < 20 || text[i:i+3] != "eyJ" {
		return i, false
	}
	parts, from := 0, i
	for end = i; end < len(text); end++ {
		c := text[end]
		if c == '.' {
			parts++
			from = end + 1
		} else if classes[c]&dashed == 0 {
			break
		}
	}
	cut := parts == 1 && end == len(text)
	return end, cut || parts > 2 || parts == 2 && from < end
}

const (
	pemBegin = "-----BEGIN "
	pemKey   = "PRIVATE KEY"
	pemEnd   = "-----END "
)
