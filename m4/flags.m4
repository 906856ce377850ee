dnl SPDX-License-Identifier: LGPL-2.1-or-later
dnl
dnl SPLICED_CFLAGS(VARIABLE, FLAGS...): adds to VARIABLE each of FLAGS that the compiler takes without a warning,
dnl together with the user's own CPPFLAGS and CFLAGS. <string.h> is there for _FORTIFY_SOURCE, which complains in it.
AC_DEFUN([SPLICED_CFLAGS], [
m4_foreach_w([spliced_flag], [$2], [
	AS_VAR_PUSHDEF([cache], [spliced_cv_cflag_]spliced_flag)
	AC_CACHE_CHECK([whether $CC takes ]spliced_flag, [cache], [
		spliced_save=$CFLAGS
		CFLAGS="-Werror spliced_flag $CFLAGS"
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <string.h>]], [[]])],
			[AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
		CFLAGS=$spliced_save
	])
	AS_VAR_IF([cache], [yes], [$1="${$1}${$1:+ }spliced_flag"])
	AS_VAR_POPDEF([cache])
])
])

dnl SPLICED_LDFLAGS(VARIABLE, FLAGS, [LINKED WITH]): adds FLAGS, as one, to VARIABLE if a program links with them.
AC_DEFUN([SPLICED_LDFLAGS], [
	AS_VAR_PUSHDEF([cache], [spliced_cv_ldflag_$2])
	AC_CACHE_CHECK([whether the linker takes $2], [cache], [
		spliced_save=$LDFLAGS
		LDFLAGS="$3 $2 $LDFLAGS"
		AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
			[AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
		LDFLAGS=$spliced_save
	])
	AS_VAR_IF([cache], [yes], [$1="${$1}${$1:+ }$2"])
	AS_VAR_POPDEF([cache])
])
