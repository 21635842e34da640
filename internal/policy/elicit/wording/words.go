package wording

// longest is how many bytes the longest of secretsWords may have.
const longest = 40

// secretsWords are names of secrets, their words run together.
const secretsWords = `password passwords passwd passwrd pwd pswd passphrase passphrases passcode passcodes dbpass userpass loginpass smtppass
	rootpass adminpass mysqlpass ftppass keypass sudopass mailpass
pin pins pincode pinnumber cardpin
token accesstoken accesstokens authtoken authtokens apitoken apitokens bearertoken refreshtoken idtoken sessiontoken
	personalaccesstoken authenticationtoken authorizationtoken securitytoken bottoken oauthtoken githubtoken githubpat gitlabpat jwt
secret secrets clientsecret secretvalue sharedsecret appsecret consumersecret webhooksecret signingsecret secrete secreto passw
apikey apikeys apisecret accesskey accesskeys secretkey secretkeys privatekey privatekeys privkey signingkey encryptionkey
	decryptionkey sshkey authkey accountkey serviceaccountkey servicekey masterkey walletkey recoverykey securitykey subscriptionkey
	appkey applicationkey adminkey deploykey sessionkey clientkey databasekey dbkey secretaccesskey authenticationkey
	authorizationkey storagekey functionkey symmetrickey pgpprivatekey idrsa
credential credentials creds logindetails
otp totp hotp onetimecode onetimepassword onetimepasscode onetimepin verificationcode securitycode authenticationcode
	authcode authorizationcode authenticatorcode smscode 2facode mfacode mfatoken mfa 2fa twofactorcode logincode accesscode
	recoverycode recoverycodes backupcode backupcodes devicecode secondfactor signincode tan mtan onetimetoken confirmationpin
cardnumber cardnumbers creditcard debitcard creditcardnumber debitcardnumber paymentcard bankcard ccnumber ccnum ccno cardno
	cvv cvc csc cvvcode cvccode cardcode cardverificationvalue cardverificationcode cccsc cccvv cccvc ccexp ccexpmonth ccexpyear ccexpiry cardexpiry
	cardexpiration cardexp cardsecuritycode carddetails primaryaccountnumber
seedphrase recoveryphrase secretphrase mnemonicphrase mnemonic backupphrase seedwords secretrecoveryphrase walletseed
	recoverywords privateseed walletphrase
ssn socialsecuritynumber socialsecurity securityanswer mothersmaidenname mothermaidenname
sessioncookie authcookie logincookie cookieheader authorizationheader authheader connectionstring kubeconfig
clave contrasena parola hasło haslo heslo sifre geslo lozinka passord jelszo salasana
parool slaptazodis adgangskode kodeord kodewort mdp senha losenord parole`

// soloWords are secrets where nothing else is in the name.
const soloWords = `pass pw psw authorization pat cookie pan auth`

// ownersWords stand before a word that then stands as if alone.
const ownersWords = `your my the user users`

// stemsWords are names of secrets that are found within a word.
const stemsWords = `password passphrase passcode apikey secretkey privatekey accesstoken authtoken refreshtoken clientsecret
	creditcard cardnumber seedphrase passwrd`

// abroadWords are words for passwords and codes of other languages, without accents,
// that are found within a word or a text without spaces.
const abroadWords = `passwort kennwort geheimzahl zugangsdaten contrasena contrasenya motdepasse wachtwoord losenord salasana adgangskode
	jelszo senha пароль пароля паролем паролю slaptazodis лозинк гасло κωδικοσπροσβασης
	密码 密碼 口令 验证码 驗證碼 密钥 密鑰 助记词 助記詞 令牌 信用卡号 信用卡號 パスワード 暗証番号 認証コード ワンタイム 合言葉
	비밀번호 암호 인증번호 인증코드 รหัสผ่าน पासवर्ड סיסמה סיסמא كلمةالمرور`

// abroadSplitWords are such words that are written apart, run together.
const abroadSplitWords = `motdepasse matkhau katasandi κωδικοςπροσβασης κωδικοπροσβασης كلمةالمرور كلمةالسر clavesecreta codigopin
	кодподтверждения пинкод parolachiave paroladordine одноразовыйкод`

// callsAbroadWords ask in other languages, or say whose something is.
const callsAbroadWords = `bitte gib geben eingeben ein ihr ihre ihren dein deine deinen nenne tippe tippen
	introduzca introduce ingrese ingresa escriba escribe indique su tu
	entrez saisissez tapez indiquez votre ton veuillez
	digite insira informe sua seu inserisci digita inserire tua la
	введите укажите ваш свой твой напишите отправьте
	voer vul uw jouw in je ange ditt skriv indtast din skriv anna salasanasi podaj wpisz swoje twoje
	zadejte vase girin girinizi giriniz nhap`

// callsTogetherWords are found within a text without spaces.
const callsTogetherWords = `输入 輸入 提供 请 請 您的 你的 入力 教えて あなた 입력 알려 당신 กรอก ใส่ दर्ज הזן أدخل`

// tailsWords follow a secret within a word and make another of it.
const tailsWords = `less policy policies manager length strength count limit richtlinie lange laenge regel ablauf hint reset
	策略 长度 長度 强度 強度 政策 规则 ポリシー 長さ 강도 길이 정책 管理`

// aboutWords are words of what is about a secret, behind its name.
const aboutWords = `count counts limit limits length len min max minimum maximum policy policies strength size type types kind name names id ids
	identifier label title description manager expiry expires expire expiration ttl lifetime age duration rotation usage budget
	price cost symbol address contract standard balance supply rate rates scope scopes format algorithm url uri endpoint link hint
	path file filename location store storage vault provider reset resets change changes deletion generator prefix suffix status
	state enabled protected protection index position per remaining window bucket class category color colour holder
	holders issuer brand network last4 last range mode method source env variable var ref reference arn version owner bytes bits
	entropy history audit log santa garden ingredient sauce weapon sequence sequences pricing distribution sale ring backend engine
	manifest resource namespace selector mount permission permissions permitted access usages rule rules option options days hours
	minutes seconds weeks date time created creation updated refreshed rotated revoked unit units alias group role header headers
	transfer exchange swap laenge lange economy economics holder pair decimals app application device reader printer layout ranking`

// before are words that make another thing of a bare word behind them.
const (
	beforeToken = `next page paging pagination continuation continue resume sync cursor delta upload design stop eos bos pad mask unk
			special erc20 erc crypto native gas base quote governance meme reward lp nft swap from to sell buy input output prompt max min
			total per progress lock fencing start end utility first last previous prev nextpage completion cancellation of which`
	beforeSecret = `kubernetes k8s vault open top trade docker which`
	beforePin    = `gpio led reset data clock chip io analog digital map bowling rolling safety hair lapel drop cotter board location input output which tx rx cs sda scl`
	beforePins   = `gpio led reset data map board location number how bowling`
	beforeTan    = `sun skin colour color light dark`
	beforeParole = `on of`
	beforeClave  = `palabra nombre`
)

// asksWords are verbs by which somebody is asked to tell something.
const asksWords = `enter type provide paste input give supply share confirm tell send submit write fill insert reenter repeat retype
	need needs require requires want verify specify disclose reveal whats respond reply include key hand`

// makesWords are verbs that ask for what people make up themselves.
const makesWords = `create choose set pick select`

// particlesWords belong to a verb before them: fill in, reply with.
const particlesWords = `in out with`

// wantsWords follow a secret that is said to be needed.
const wantsWords = `is are please here below again needed required for to and`

// refusalsWords turn what follows into what is not wanted.
const refusalsWords = `not never dont no without cannot wont nor doesnt isnt arent`

// stopsWords end the reach of a verb, and say that what follows belongs to something
// else, unless one of contents stands before them.
const stopsWords = `for of to with in on by from about using via per against which whether how where if when who that whose than as at
	during after before name names label title because since behind into onto under not no`

// contentsWords are words for what a secret consists of.
const contentsWords = `value content contents text copy number digits characters words letters type rest part plaintext enter`
