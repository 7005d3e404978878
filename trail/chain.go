package trail

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// A line is
//
//	{…,"prev":"P","sig":"G","mac":"M","sum":"S"}
//
// P is S of the line before. S is SHA-256 of all before `,"sum":`. M is HMAC-SHA-256
// of all before `,"mac":`, with a key of this line alone. G, which a checkpoint has,
// is Ed25519 of signed and all before `,"sig":`, with the key of its epoch.
//
// Each key comes of a secret by a hash, and each secret of the one before it by
// another: who has a secret has those after it, and none before.

// Secret is what the next key comes of.
type Secret [32]byte

const (
	stepWord  = "lockstep trail 1 next record\n"
	macWord   = "lockstep trail 1 record key\n"
	epochWord = "lockstep trail 1 next epoch\n"
	signWord  = "lockstep trail 1 epoch key\n"
	signed    = "lockstep trail 1 checkpoint\n"
)

func (s Secret) derive(word string) Secret {
	b := append([]byte(word), s[:]...)
	defer clear(b)
	return sha256.Sum256(b)
}

// Next is the secret of the record after.
func (s Secret) Next() Secret { return s.derive(stepWord) }

// key signs what is in the epoch of s.
func (s Secret) key() ed25519.PrivateKey {
	seed := s.derive(signWord)
	defer clear(seed[:])
	return ed25519.NewKeyFromSeed(seed[:])
}

// public is the key by which that is verified.
func (s Secret) public() string {
	key := s.key()
	defer clear(key)
	return hex.EncodeToString(key.Public().(ed25519.PublicKey))
}

// sign is the signature of b.
func (s Secret) sign(b []byte) string {
	key := s.key()
	defer clear(key)
	return hex.EncodeToString(ed25519.Sign(key, append([]byte(signed), b...)))
}

// Zero is Prev of the first line.
const Zero = "0000000000000000000000000000000000000000000000000000000000000000"

// State is where a trail ends: all that is needed to go on with it.
type State struct {
	Trail string
	Seq   uint64 // of the next record
	Mac   Secret // of it
	Epoch uint64
	Sign  Secret // of the epoch
	Prev  string // Sum of the last line
}

// Birth is what a new trail is verified by, beside the trail itself. Seed is a secret:
// whoever has it can make records; Public is none.
type Birth struct {
	Trail  string
	Seed   Secret
	Public string
}

// New is a trail without a record, made of random bytes.
func New(name [16]byte, seed, sign Secret) (State, Birth) {
	s := State{Trail: hex.EncodeToString(name[:]), Mac: seed, Sign: sign, Prev: Zero}
	return s, Birth{s.Trail, seed, sign.public()}
}

// Head has a record begin a file.
func (s State) Head(r Record, file uint64, torn *Torn) Record {
	r.Type, r.Outcome, r.Head, r.Key = Open, Success, &Head{s.Trail, file, torn}, &Key{s.Epoch, s.Sign.public()}
	return r
}

// Seal makes a line of a record, without its newline, and the state after it.
func (s State) Seal(r Record) (line []byte, next State, err error) {
	r.tidy()
	r.V, r.Seq, r.Prev = Version, s.Seq, s.Prev
	next = s
	next.Seq, next.Mac = s.Seq+1, s.Mac.Next()
	checkpoint := r.Type == Checkpoint
	if checkpoint {
		next.Epoch, next.Sign = s.Epoch+1, s.Sign.derive(epochWord)
		r.Key = &Key{next.Epoch, next.Sign.public()}
	}
	b, err := r.body()
	if err != nil {
		return nil, s, err
	}
	if checkpoint {
		b = appendMember(b, "sig", s.Sign.sign(b))
	}
	b = appendMember(b, "mac", s.Mac.mac(b))
	next.Prev = sum(b)
	b = Summed(b)
	if len(b) > MaxLine {
		return nil, s, fmt.Errorf("a record of %d bytes", len(b))
	}
	return b, next, nil
}

// Summed puts the hash of a line's beginning behind it, and ends it.
func Summed(b []byte) []byte { return append(b, tail(b)...) }

func tail(b []byte) []byte { return []byte(Ending(sum(b))) }

// Ending is what a line ends with whose hash is sum.
func Ending(sum string) string { return `,"sum":"` + sum + `"}` }

// TornOf describes bytes that are no whole line.
func TornOf(b []byte) *Torn { return &Torn{uint64(len(b)), sum(b)} }

func (s Secret) mac(b []byte) string {
	key := s.derive(macWord)
	defer clear(key[:])
	h := hmac.New(sha256.New, key[:])
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// What is wrong with a line by itself.
var (
	ErrSum  = errors.New("it is not what was written: its hash does not fit")
	ErrForm = errors.New("it is not in the form of a record")
	ErrMac  = errors.New("it was not made with the key of its place: a forgery")
	ErrSig  = errors.New("its signature is not of the key of its epoch: a forgery")
)

// Parsed is a line that has the form of a record, and its own hash.
type Parsed struct {
	Record
	line []byte
}

// Sizes of what is behind the body.
const (
	sumSize = len(`,"sum":""}`) + 64
	macSize = len(`,"mac":""`) + 64
	sigSize = len(`,"sig":""`) + 128
)

// Parse reads a line, without its newline. It shares memory with it.
func Parse(line []byte) (Parsed, error) {
	p := Parsed{line: line}
	if len(line) > MaxLine || len(line) < sumSize+macSize {
		return p, ErrForm
	}
	covered := line[:len(line)-sumSize]
	if !bytes.Equal(tail(covered), line[len(covered):]) {
		return p, ErrSum
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&p.Record); err != nil || p.V != Version {
		return p, ErrForm
	}
	// One record has one form: no member twice, none in other letters, no spaces.
	again, err := p.Line()
	if err != nil || !bytes.Equal(again, line) || len(p.Mac) != 64 || (p.Type == Checkpoint) != (len(p.Sig) == 128) ||
		(p.Type == Open) != (p.Head != nil) || (p.Type == Open || p.Type == Checkpoint) != (p.Key != nil) {
		return p, ErrForm
	}
	return p, nil
}

// CheckMac says whether the line was made by who had the secret of its place.
func (p Parsed) CheckMac(s Secret) error {
	covered := p.line[:len(p.line)-sumSize-macSize]
	if subtle.ConstantTimeCompare([]byte(s.mac(covered)), []byte(p.Mac)) != 1 {
		return ErrMac
	}
	return nil
}

// CheckSig says whether a checkpoint was signed by the key that is public.
func (p Parsed) CheckSig(public string) error {
	key, err := hex.DecodeString(public)
	sig, e := hex.DecodeString(p.Sig)
	if err != nil || e != nil || len(key) != ed25519.PublicKeySize || len(sig) != ed25519.SignatureSize {
		return ErrSig
	}
	covered := p.line[:len(p.line)-sumSize-macSize-sigSize]
	if !ed25519.Verify(key, append([]byte(signed), covered...), sig) {
		return ErrSig
	}
	return nil
}

// Follow is the state after a line that was written when s was in force, and whose
// state was not kept: lockstep was killed between the two.
func (s State) Follow(line []byte) (State, error) {
	p, err := Parse(line)
	if err == nil && (p.Seq != s.Seq || p.Prev != s.Prev) {
		err = fmt.Errorf("record %d is where record %d belongs", p.Seq, s.Seq)
	}
	if err == nil {
		err = p.CheckMac(s.Mac)
	}
	if err != nil {
		return s, err
	}
	s.Seq, s.Mac, s.Prev = s.Seq+1, s.Mac.Next(), p.Sum
	if p.Type == Checkpoint {
		s.Epoch, s.Sign = s.Epoch+1, s.Sign.derive(epochWord)
	}
	return s, nil
}
