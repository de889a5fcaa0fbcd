# The rules that `config` needs in nginx's Makefile. cargo is always asked: it knows what changed. `+` hands it make's
# jobs, so that both share the cores they were given.

wasmx_top=`cd $ngx_addon_dir/.. && pwd`

case $NGX_OBJS in
    /*) wasmx_objs=$NGX_OBJS ;;
    *)  wasmx_objs=`pwd`/$NGX_OBJS ;;
esac

cat << END                                                    >> $NGX_MAKEFILE

WASMX_CARGO =	$wasmx_cargo
WASMX_ENGINES =	${ENGINES:-wasmtime,wasmi}
WASMX_TARGET =	${CARGO_TARGET_DIR:-$wasmx_top/target}

.PHONY:	wasmx wasmx_install

modules:	wasmx

wasmx:
	+env -u WASMX_NGINX NGINX_SOURCE_DIR='`pwd`' NGINX_BUILD_DIR='$wasmx_objs' \\
		\$(WASMX_CARGO) build --release --locked --manifest-path '$wasmx_top/Cargo.toml' \\
		--target-dir '\$(WASMX_TARGET)' --no-default-features --features 'nginx,\$(WASMX_ENGINES)'
	cp '\$(WASMX_TARGET)/release/libngx_wasmx_module.so' $NGX_OBJS/ngx_wasmx_module.so.new
	mv $NGX_OBJS/ngx_wasmx_module.so.new $NGX_OBJS/ngx_wasmx_module.so

install:	wasmx_install

wasmx_install:	wasmx
	mkdir -p '\$(DESTDIR)$NGX_MODULES_PATH'
	test ! -f '\$(DESTDIR)$NGX_MODULES_PATH/ngx_wasmx_module.so' \\
		|| mv '\$(DESTDIR)$NGX_MODULES_PATH/ngx_wasmx_module.so' \\
			'\$(DESTDIR)$NGX_MODULES_PATH/ngx_wasmx_module.so.old'
	cp $NGX_OBJS/ngx_wasmx_module.so '\$(DESTDIR)$NGX_MODULES_PATH/ngx_wasmx_module.so'

END
