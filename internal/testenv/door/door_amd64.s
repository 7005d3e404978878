#include "textflag.h"

// func Int80(nr uintptr) uintptr
TEXT ·Int80(SB),NOSPLIT,$0-16
	MOVQ nr+0(FP), AX
	XORL BX, BX
	XORL CX, CX
	XORL DX, DX
	XORL SI, SI
	XORL DI, DI
	INT  $0x80
	MOVQ AX, ret+8(FP)
	RET

// func Vfork() uintptr
//
// The child has its parent's memory, and its stack: it ends without touching it.
TEXT ·Vfork(SB),NOSPLIT,$0-8
	MOVQ $58, AX
	SYSCALL
	TESTQ AX, AX
	JNZ parent
	MOVQ $231, AX
	XORL DI, DI
	SYSCALL
parent:
	MOVQ AX, ret+0(FP)
	RET
